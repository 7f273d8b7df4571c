# money is settled before the commit is certain
# file: src/hot.c
# hunks: 2
/^at_xact_end(/,/^}/{
s/case XACT_EVENT_COMMIT:/case BEFORE:/
s/case XACT_EVENT_PRE_COMMIT:/case XACT_EVENT_COMMIT:/
s/case BEFORE:/case XACT_EVENT_PRE_COMMIT:/
}
