"""The auth process: answers VERIFY and PASSWD from the workers, so that no worker ever hashes.

1. The main thread alone touches the store and the sockets.
2. What workers refuse themselves, tokens, is told here too, as wrong passwords are.
3. Before the store is loaded nobody can sign in: LOADING.
4. A password takes its time, a directory more: what was found out is held against the account as it
   is then. Who was disabled meanwhile, or is kept elsewhere now, is not let in.
5. Whose password a directory keeps is asked of a backend (external.py); only for those who may sign
   in at all, and nobody changes such a password here.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

import orjson

from csp.auth.accounts import Account
from csp.auth.certificates import Certificates
from csp.auth.directory_alarms import DirectoryAlarms
from csp.auth.external import External
from csp.auth.failure_alarm import Rule
from csp.auth.failures import Failures, printable
from csp.auth.line import line_of
from csp.auth.passwords import ARGON2ID
from csp.auth.store import StoreView
from csp.auth.tickets import Ticket, Tickets
from csp.auth.verdicts import Verdicts
from csp.auth.verifier import BUSY, WRONG, Verifier
from csp.errors import BadValue, Busy, Locked, NoPerm
from csp.external.settings import level_of
from csp.observe.clock import monotonic_ms, wall_ms
from csp.observe.events import log_event
from csp.observe.log import set_level
from csp.process.channel.answering import Answerer, Message, Peer
from csp.process.channel.asking import Asker
from csp.process.channel.framing import AUTH_LIMITS, BACKEND_LIMITS
from csp.process.context import OptionValue, ProcessContext, Request
from csp.process.own_options import CHECK_MS, OwnOptions
from csp.process.polling import READ, Descriptor, Poller, Watched
from csp.process.roles import Role
from csp.rules.accounts import SECTION

POLL_SECONDS = 0.2  # how soon a store that was loaded, or a new generation, is noticed

KEPT_ELSEWHERE = NoPerm("a directory keeps this password: it is changed there").line

LOADING = "LOADING the store is being loaded, nobody can sign in yet"

ENDS = (Request.DRAIN, Request.EXIT)
NOTHING: Mapping[str, str] = {}
NOBODY = "WRONGPASS the certificate names nobody who may sign in here"
MEANWHILE = Busy("the account has changed just now: sign in again").line
CERTIFICATE_ONLY = "WRONGPASS the password is right, but the account is certificate-only"

log = logging.getLogger("csp.auth")


def run_auth(context: ProcessContext) -> None:
    """Serves until asked to drain."""
    AuthProcess(context).run()


class AuthProcess:
    """The loop of the auth process."""

    def __init__(self, context: ProcessContext) -> None:
        self._context = context
        self._store = StoreView(context)
        self._verifier = Verifier(self._store.find_account, self._store.count)
        self._failures = Failures(self._store.flags, monotonic_ms())
        self._verdicts = Verdicts(wall_ms, is_master=context.mode == "master")
        self._watched = Watched()
        self._askers: dict[str, Asker] = {}
        alarms = DirectoryAlarms(self._store.flags)
        later = self._watched.call_later
        self._external = External(self._asker, later, self._store.count, alarms)
        self._certificates = Certificates(context, self._store.flags)
        self._tickets = Tickets(self._asker, alarms)
        self._poller = Poller()
        self._own_descriptors = (
            Descriptor(context.control_fd, READ, self._take_requests),
            Descriptor(self._verifier.done_fd, READ, self._verifier.take_done),
            *self._certificates.descriptors(),
        )
        self._channel = Answerer(context.channel_fd, AUTH_LIMITS, ask=self._on_question, log=log)
        self._options = OwnOptions(
            mode=context.mode, app_name=context.app_name, values=context.options, log=None
        )
        self._options.on_change(self._take_options)
        self._next_look_ms = 0
        self._is_ended = False

    def run(self) -> None:
        """Turns until drained."""
        self._context.report_ready()
        while not self._is_ended:
            self._poller.wait(self._descriptors(), self._watched.patience(POLL_SECONDS))
            self._watched.take_due()
            self._verifier.work_off()
            self._external.work_off()
            self._tickets.work_off()
            self._failures.tick(monotonic_ms())
            self._channel.flush()
            self._look_at_options(monotonic_ms())
            self._certificates.tick()
        self._channel.close()
        self._poller.close()

    def _descriptors(self) -> list[Descriptor]:
        return [
            *self._own_descriptors,
            *self._channel.descriptors(),
            *self._watched.descriptors(),
        ]

    def _asker(self, role: Role) -> Asker:
        """The channel to a backend; the first question starts its process."""
        asker = self._askers.get(role.name)
        if asker is None:
            path = f"{self._context.runtime_folder}/{role.socket_name}"
            asker = self._askers[role.name] = Asker(self._watched, path, BACKEND_LIMITS)
        return asker

    def _look_at_options(self, now_ms: int) -> None:
        if now_ms >= self._next_look_ms and self._store.is_loaded:
            self._next_look_ms = now_ms + CHECK_MS
            application = self._store.application(self._context.app_name)
            news = self._options.look(application)
            if news is not None:
                server = level_of(news.application, "options")
                self._store.take_server(server)
                self._tickets.take_server(server)
            self._certificates.look(application, self._store.host)

    def _take_options(self, values: Mapping[str, OptionValue]) -> None:
        set_level(self._options.log_level)
        self._failures.alarm.take(Rule.of(values), monotonic_ms())
        self._verdicts.take_options(values)
        self._certificates.take_options(values)

    def _take_requests(self) -> None:
        # Nothing that was asked changes anything yet: a sign-in is asked again of the successor.
        asked = self._context.read_requests()
        if Request.RELOAD in asked:
            self._certificates.reload()
        self._is_ended = self._is_ended or any(one in ENDS for one in asked)

    def _on_question(self, peer: Peer, parts: Message) -> None:
        if len(parts) == 5 and parts[0] == b"REFUSED":
            self._tell_refused(peer, parts)
            return
        if len(parts) == 5 and parts[0] == b"CERTIFICATE":
            self._by_certificate(peer, parts)
            return
        if len(parts) == 4 and parts[0] == b"TICKET":
            self._by_ticket(peer, parts)
            return
        is_change = len(parts) == 7 and parts[0] == b"PASSWD"
        if not is_change and (len(parts) != 5 or parts[0] != b"VERIFY"):
            log_event(log, "51191", question=repr(parts[:1]))
            peer.fail(parts[1], "ERR auth does not know this question")
            return
        number, host, user, password = parts[1:5]
        address = host.decode("ascii", "replace")
        if not self._store.is_loaded:
            peer.fail(number, LOADING)
            return

        def answer(found: Account | str) -> None:
            result = found if isinstance(found, str) else self._as_now(user, found)
            if isinstance(result, str):
                self._refuse(peer, number, user, address, result)
                return
            if result.certificate_only and not is_change:
                # Who has the right password hears no more than who has not.
                self._verifier.count("refused")
                self._failures.add(user, address, CERTIFICATE_ONLY, monotonic_ms())
                peer.fail(number, WRONG)
                return
            self._failures.add_right(monotonic_ms())
            refusal = self._verdicts.refusal(result)
            if is_change and not refusal.startswith(Locked.WORD):
                self._change(peer, parts, result, line_of(address))
            elif refusal:
                self._verifier.count("refused")
                self._refuse(peer, number, user, address, refusal)
            else:
                told = {"user": user.decode(), "dbid": result.dbid, "revision": result.revision}
                peer.done(number, orjson.dumps(told | self._verdicts.signed_in(result)))

        if not password and not self._verdicts.allows_empty:
            self._verifier.count("refused")
            answer(WRONG)
            return
        account = self._store.find_account(user)
        if account is not None and account.sign_in.is_external and account.is_enabled:
            self._external.verify(user, password, account, answer, line_of(address))
        else:  # a disabled one too: it costs what a wrong password does, and is told the same
            self._verifier.verify(user, password, answer, line_of(address))

    def _as_now(self, user: bytes, found: Account) -> Account | str:
        """The account whose password was right, as it is now, or the text of a refusal."""
        now = self._store.find_account(user)
        if now is None or not found.is_still(now):
            self._verifier.count("refused")
            return WRONG if now is None or not now.is_enabled else MEANWHILE
        return dataclasses.replace(now, upgraded=found.upgraded)

    def _by_certificate(self, peer: Peer, parts: Message) -> None:
        """Decides on a user whose certificate was shown; where it names nobody there is none, only
        the name that stands in it.
        """
        number, host, user, shown = parts[1:]
        if not self._store.is_loaded:
            peer.fail(number, LOADING)
            return
        account = self._store.by_certificate(user) if user else None
        if not self._let_in(peer, number, host, user or shown, account, nobody=NOBODY):
            self._store.count("certificates_refused")

    def _by_ticket(self, peer: Peer, parts: Message) -> None:
        """Decides on a client's Kerberos ticket."""
        number, host, token = parts[1:]
        if not self._store.is_loaded:
            peer.fail(number, LOADING)
            return

        def answer(found: Ticket | str) -> None:
            if isinstance(found, str):
                self._refuse_without(peer, number, host, b"a ticket", found)
                return
            user, account = self._store.by_principal(found.principal)
            if account is not None and account.certificate_only:
                account = None
            told = {"digest": found.digest, "reply": found.reply}
            self._let_in(peer, number, host, user, account, told)

        self._tickets.ask(token, answer, line_of(host.decode("ascii", "replace")))

    def _let_in(
        self,
        peer: Peer,
        number: bytes,
        host: bytes,
        user: bytes,
        account: Account | None,
        more: Mapping[str, str] = NOTHING,
        nobody: str = WRONG,
    ) -> bool:
        """Answers who has proved himself otherwise than by a password, which plays no part.

        Whether he is let in.
        """
        if account is None or not account.is_enabled:
            self._refuse_without(peer, number, host, user, nobody)
            return False
        refusal = self._verdicts.refusal(account, without_password=True)
        if refusal:
            self._refuse_without(peer, number, host, user, refusal)
            return False
        self._failures.add_right(monotonic_ms())
        told = {"user": user.decode(), "dbid": account.dbid, "revision": account.revision}
        told |= self._verdicts.signed_in(account, without_password=True)
        peer.done(number, orjson.dumps({**told, **more}))
        return True

    def _refuse_without(
        self, peer: Peer, number: bytes, host: bytes, user: bytes, reason: str
    ) -> None:
        """Says no where no password was wrong: nothing is locked by it."""
        self._verifier.count("refused")
        self._failures.add(user, host.decode("ascii", "replace"), reason, monotonic_ms())
        peer.fail(number, reason)

    def _refuse(self, peer: Peer, number: bytes, user: bytes, address: str, reason: str) -> None:
        """Says no; where an account is locked by it, with the note of that."""
        self._failures.add(user, address, reason, monotonic_ms())
        account = self._store.find_account(user) if reason == WRONG else None
        note = {}
        if account is not None:
            note = self._verdicts.wrong(account, printable(user), address)
        if note:
            peer.done(number, orjson.dumps({"refusal": reason, "note": note}))
        else:
            peer.fail(number, reason)

    def _tell_refused(self, peer: Peer, parts: Message) -> None:
        """A worker has refused a token: it is told as a wrong password is."""
        address, reason = parts[2].decode("ascii", "replace"), parts[4].decode("utf-8", "replace")
        self._failures.add(parts[3], address, reason, monotonic_ms())
        self._verifier.count("refused")
        peer.done(parts[1])

    def _change(self, peer: Peer, parts: Message, account: Account, line: str) -> None:
        """Answers PASSWD once the old password was right."""
        number, user, new, other = parts[1], parts[3], parts[5], parts[6]
        is_own = not other or other == user
        whose = account if is_own else self._store.find_account(other)
        if whose is not None and whose.sign_in.is_external:
            peer.fail(number, KEPT_ELSEWHERE)
            return
        rules = account.rules if is_own else self._store.rules(other)
        why = rules.why_not(new.decode("utf-8", "replace"))
        if why:
            peer.fail(number, BadValue(f"the new password: {why}, see [{SECTION}]").line)
            return
        # What an administrator sets for somebody else is not held against that one's earlier ones.
        earlier = ((account.algorithm, account.hash), *account.earlier)
        earlier = earlier[: rules.no_repeats] if is_own else ()

        def answer(found: str | None) -> None:
            if found is None:
                peer.fail(number, BUSY)
            elif not found:
                why = f"it is one of the last {rules.no_repeats} (password-no-repeats)"
                peer.fail(number, BadValue(f"the new password: {why}, see [{SECTION}]").line)
            else:
                told = {"revision": account.revision, "algorithm": ARGON2ID, "hash": found}
                peer.done(number, orjson.dumps(told))

        self._verifier.hash(new, answer, line, earlier)
