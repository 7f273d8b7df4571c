"""What is chosen where there are hot accounts, beside all the rest: their limits.

A class of its own: without hot accounts the same seed goes on to give the same
calls.
"""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from book import text
from calls import Call
from driver import SESSIONS
from machine import HOT, Machine, who

# edge: as the balance is now; beyond: the smallest unit on the wrong side of it.
limits = st.sampled_from(("keep", "keep", "none", "wide", "edge", "beyond"))


class HotMachine(Machine):
    hot = True

    @rule(name=who, account=st.sampled_from(HOT), least=limits, most=limits,
          force=st.sampled_from((None, None, None, "true")))
    def set_limits(self, name, account, least, most, force):
        self.act(name, self.limited(self.view(name), account, least, most, force))

    @rule(name=who, pair=st.sampled_from(((1, 3), (3, 1), (1, 5), (5, 1), (3, 5))),
          amount=st.integers(1, 1500), deep=st.booleans(), lasting=st.booleans(),
          least=limits, most=limits, first=st.booleans())
    def limit_used(self, name, pair, amount, deep, lasting, least, most, first):
        """Limits are set while another session moves the account, or first."""
        self.begin(name)
        if deep:
            self.begin(name)
        one = self.free(name)
        two = self.free(SESSIONS[(SESSIONS.index(one.name) + 1) % len(SESSIONS)])
        self.guarded(self.driver.recover, two)
        if lasting and not two.layers:
            self.guarded(self.driver.control, two, "BEGIN")
        number = next(n for n in pair if n in HOT)
        for session, limits_now in ((one, first), (two, not first)):
            view = self.book.view(session)
            self.act(session.name, self.limited(view, number, least, most, None)
                     if limits_now else Call("transfer", self.given(view, pair, amount)))

    def limited(self, view, number, least, most, force):
        """A maximum is changed only where there is one: who introduces one also
        waits for every hold in flight, of all accounts."""
        account = view.get("account", number)
        if account is None:
            return Call("set_limits", {"account": number, "min_balance": None,
                                       "max_balance": None})
        here = {"keep": account.least, "none": None, "wide": -3000,
                "edge": view.available(account), "beyond": view.available(account) + 1}[least]
        most = {"keep": account.most, "none": account.most, "wide": 9000,
                "edge": account.posted + view.awaited(account),
                "beyond": account.posted + view.awaited(account) - 1}[most]
        if account.most is None:
            most = None
        return Call("set_limits", {
            "account": number, "min_balance": here if here is None else text(here, account.scale),
            "max_balance": most if most is None else text(most, account.scale),
            **self.only(force=force)})
