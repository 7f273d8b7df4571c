# guard_version does not count an update that sets no version
# file: src/guard_version.c
# specs: guard_version_race
/^teller_guard_version(/,/^}/s/update.present + 1);$/Max(update.set, update.present));/
