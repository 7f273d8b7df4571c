"""Two sessions side by side, as a page shows them.

    one                                      | two
    -----------------------------------------|-----------------------------
    BEGIN;                                   |
    SELECT balance FROM wallet WHERE id = 1; |
    --> 100                                  |
                                             | SELECT ... FOR UPDATE;
                                             | --> waits
    COMMIT;                                  |
                                             | --> 100

Time runs downwards; of two statements in one line the left one comes first.
A statement may take several lines of its column and ends with a semicolon.
`--> ...` behind it is its answer:

    --> 100, alice      a row, with commas between the columns; several rows
                        have several arrows
    --> none            no rows
    --> ERROR 40P01     the SQLSTATE; words behind it are for the reader
    --> waits           it waits for another session.  What it says in the
                        end follows further down; nothing more in its column
                        before that

A statement without an answer must end without an error.
"""
import os
import queue
import re
import subprocess
import threading

PATIENCE_S = 60
MARK = "=end of the statement="


class Wrong(Exception):
    """The race went another way than the page says."""


class Session:
    """A psql that is typed into, and may be left waiting."""

    def __init__(self, database, deadlock_timeout):
        options = f"{os.environ.get('PGOPTIONS', '')} " \
            f"-c deadlock_timeout={deadlock_timeout}"
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-At", "-F", ", ", "-P", "null=NULL",
             "-v", "VERBOSITY=sqlstate", "-d", database],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**os.environ, "PGOPTIONS": options})
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.send("SELECT pg_backend_pid();")
        self.pid = self.answer()[-1]

    def read(self):
        for line in self.psql.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def send(self, code):
        self.psql.stdin.write(f"{code}\n\\echo {MARK}\n")
        self.psql.stdin.flush()

    def answer(self):
        """What the statement said: a list of lines."""
        answer = []
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise Wrong(f"no answer in {PATIENCE_S} s") from None
            if line is None:
                raise Wrong("the session ended: " + " / ".join(answer))
            if line == MARK:
                return answer
            answer.append(line)

    def close(self):
        self.psql.stdin.close()
        self.psql.terminate()
        self.psql.wait()


class Column:
    """One side of the race: its session, and what it is about to say."""

    def __init__(self, session, eye):
        self.session = session
        self.eye = eye
        self.code = []  # a statement that has not ended yet
        self.said = None  # what is left of the last answer
        self.running = False  # sent, and its answer not read
        self.statement = ""
        self.told = True  # the page says what it answered

    def end_of_answer(self):
        """The statement is over and the page has said all there is to say."""
        if self.running:
            self.said = self.session.answer()
            self.running = False
        if self.said and self.told:
            raise Wrong(f"{self.statement}\nalso says: " + " / ".join(self.said))
        if self.said and any(line.startswith(("ERROR", "FATAL"))
                             for line in self.said):
            raise Wrong(f"{self.statement}\nsays: " + " / ".join(self.said))
        self.said = None

    def type(self, text, will_wait):
        """One line.  Unless it is to wait, the statement ends here."""
        if not self.code:
            self.end_of_answer()
        self.code.append(text)
        if not re.search(r";\s*(--.*)?$", text):
            return
        self.statement = "\n".join(self.code)
        self.code = []
        self.session.send(self.statement)
        self.running = True
        self.told = False
        if not will_wait:
            self.said = self.session.answer()
            self.running = False

    def waits(self):
        """Poll until the session waits for another one, or has answered."""
        for _ in range(100000):
            if not self.session.lines.empty():
                raise Wrong(f"{self.statement}\ndoes not wait: "
                            + " / ".join(self.session.answer()))
            self.eye.send("SELECT cardinality(pg_blocking_pids("
                          f"{self.session.pid})) > 0;")
            if self.eye.answer() == ["t"]:
                return
        raise Wrong(f"{self.statement}\nneither waits nor ends")

    def expect(self, text):
        if text == "waits":
            self.waits()
            return
        self.told = True
        if self.running:
            self.said = self.session.answer()
            self.running = False
        if text == "none":
            if self.said:
                raise Wrong(f"{self.statement}\nsays: " + " / ".join(self.said))
            return
        got = self.said.pop(0) if self.said else "nothing"
        code = re.match(r"ERROR \w{5}", text)
        if code:
            text = code.group()
            got = re.sub(r"^ERROR: +", "ERROR ", got)
        if got != text:
            raise Wrong(f"{self.statement}\nsays: {got}\nthe page: {text}")


def cells(line, bar):
    """The two cells of a line; the bar stands where the heading has it."""
    if len(line) > bar and line[bar] != "|":
        raise Wrong(f"no bar in column {bar + 1}: {line}")
    return line[:bar].strip(), line[bar + 1:].strip()


def table(lines):
    """The cells of each line, and of each cell whether `waits` follows it."""
    bar = lines[0].index("|")
    follows = ["", ""]
    rows = []
    for line in reversed(lines[2:]):
        both = cells(line, bar)
        rows.append((line, [(cell, after == "--> waits")
                            for cell, after in zip(both, follows)]))
        follows = [cell or after for cell, after in zip(both, follows)]
    return reversed(rows)


def play(database, code):
    """Run one race.  Returns what went another way, or an empty string."""
    eye = Session(database, "1s")
    # The left one never finds a deadlock, the right one at once: so it is
    # known which of the two gets the error.
    sessions = [Session(database, "1h"), Session(database, "1ms")]
    columns = [Column(session, eye) for session in sessions]
    at = ""
    try:
        for at, row in table(code.split("\n")):
            for column, (cell, will_wait) in zip(columns, row):
                if cell.startswith("-->"):
                    column.expect(cell[3:].strip())
                elif cell:
                    column.type(cell, will_wait)
        at = "the end"
        for column in columns:
            column.end_of_answer()
    except Wrong as wrong:
        return f"at: {at}\n{wrong}"
    finally:
        for session in sessions + [eye]:
            session.close()
    return ""
