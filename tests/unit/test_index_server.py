"""What Azure SQL does now and then, and what the service makes of it (`shared/index/server.py`, `failures.py`)."""

from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import Connection, Engine, select
from sqlalchemy.engine import make_url

from shared.errors import Conflict, Unavailable
from shared.index import server
from shared.index.database import Index
from shared.index.failures import ATTEMPTS
from shared.index.schema import NEWEST
from shared.index.server import require_snapshots, server_engine
from shared.index.tables import study
from tests.sql_server import URL, Answer, DatabaseError, IntegrityError, OperationalError, Server, failure

Opened = Callable[[Server], Index]


def engine_of(driver: Server, *, waits: int = 5, statement_s: int = 60) -> Engine:
    driver.answers.setdefault("sys.objects", [[["alembic_version"]]] * 99)
    driver.answers.setdefault("version_num", [[[NEWEST]]] * 99)
    return server_engine(make_url(URL), statement_s=statement_s, pauses_s=[0.0] * waits, driver=driver)


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Return what opens an index at a server; closed in the end."""
    made: list[Index] = []

    def make(driver: Server) -> Index:
        made.append(Index(engine_of(driver), threads=2, pause_s=0))
        return made[-1]

    yield make
    for index in made:
        await index.close()


def look(connection: Connection) -> object:
    return connection.execute(select(study.c.id)).scalar()


@pytest.mark.parametrize("number", [40613, 40197, 40501, 49918, 49919, 49920, 10928, 10929])
async def test_wakes(opened: Opened, number: int) -> None:
    """A database that wakes, moves or is too busy is connected to again until it is there."""
    driver = Server(on_connect=[failure(number)] * 5, answers={"FROM study": [[[7]]]})

    assert await opened(driver).read(look) == 7
    assert len(driver.options) == 6


async def test_does_not_wake(opened: Opened) -> None:
    """One that does not wake in time is unavailable, not an error of the program."""
    driver = Server(on_connect=[failure(40613)] * 1000)

    with pytest.raises(Unavailable):
        await opened(driver).read(look)


@pytest.mark.parametrize("number", [18456, 4060])
async def test_refused_login(opened: Opened, number: int) -> None:
    """Who is not let in does not try for a minute and a half."""
    driver = Server(on_connect=[failure(number, state="28000")] * 1000)

    with pytest.raises(Unavailable):
        await opened(driver).read(look)
    assert len(driver.options) == 1


def test_patience() -> None:
    """A serverless database may take a minute to wake; an answer must begin within 220 seconds."""
    assert 60 < sum(server.WAKING_PAUSES_S) < 120


@pytest.mark.parametrize("number", [1205, 3960, 1222, 40501, 40613])
@pytest.mark.parametrize("kind", [OperationalError, DatabaseError])
async def test_again(opened: Opened, number: int, kind: type[Exception]) -> None:
    """Work that was chosen as a deadlock's victim, or throttled, is done again in a new transaction."""
    driver = Server(answers={"FROM study": [kind(*failure(number).args), [[7]]]})

    assert await opened(driver).write(look) == 7
    assert driver.said.count("ROLLBACK") >= 1


async def test_deadlock_at_commit(opened: Opened) -> None:
    """A commit that fails so is the whole work's failure: all of it is done again."""
    index = opened(driver := Server(answers={"FROM study": [[[7]]] * 2}))
    await index.read(lambda _: None)
    driver.answers["COMMIT"] = [failure(1205)]

    assert await index.write(look) == 7
    assert sum("FROM study" in said for said in driver.said) == 2


async def test_always_deadlocked(opened: Opened) -> None:
    """After three attempts it is unavailable: the client tries again later."""
    driver = Server(answers={"FROM study": [failure(1205, state="40001")] * 99})

    with pytest.raises(Unavailable):
        await opened(driver).write(look)
    assert sum("FROM study" in said for said in driver.said) == ATTEMPTS


async def test_lost_connection(opened: Opened) -> None:
    """A connection that broke is not used again; the work is done on a new one."""
    lost = OperationalError("08S01", "[08S01] Communication link failure (0) (SQLExecDirectW)")
    driver = Server(answers={"FROM study": [lost, [[7]]]})

    assert await opened(driver).read(look) == 7
    assert driver.connections[0].closed


@pytest.mark.parametrize("number", [2627, 2601])
async def test_duplicate(opened: Opened, number: int) -> None:
    """A key that another has taken is another's turn: done again, then a conflict."""
    duplicate: Answer = IntegrityError("23000", f"[23000] Cannot insert duplicate key ({number}) (SQLExecDirectW)")
    driver = Server(answers={"FROM study": [duplicate, [[7]], *[duplicate] * 3]})
    index = opened(driver)

    assert await index.write(look) == 7
    with pytest.raises(Conflict):
        await index.write(look)


@pytest.mark.parametrize("state", ["HYT00", "HYT01"])
async def test_slow_statement(opened: Opened, state: str) -> None:
    """A statement that ran out of time is unavailable at once: three times as long helps nobody."""
    slow = OperationalError(state, f"[{state}] Query timeout expired (0) (SQLExecDirectW)")
    driver = Server(answers={"FROM study": [slow] * 9})

    with pytest.raises(Unavailable):
        await opened(driver).read(look)
    assert sum("FROM study" in said for said in driver.said) == 1


@pytest.mark.parametrize("statement_s", [60, 0])
def test_statement_timeout(statement_s: int) -> None:
    """Statements have a limit; those of a migration have none."""
    driver = Server()

    engine_of(driver, statement_s=statement_s).connect().close()

    assert driver.connections[0].timeout == statement_s


def test_pool() -> None:
    """One pool is in use, SQLAlchemy's; it looks whether a connection lives, and the login is bounded."""
    driver = Server()
    engine = engine_of(driver)

    for _ in range(3):
        engine.connect().close()

    assert not driver.pooling
    assert len(driver.connections) == 1
    assert driver.options[0][1]["timeout"] == 30


@pytest.mark.parametrize("is_on", [True, False])
def test_snapshots(is_on: bool) -> None:
    """The migration refuses a database in which readers wait for writers, and says how to change that."""
    engine = engine_of(Server(answers={"is_read_committed_snapshot_on": [[[int(is_on)]]]}))

    with engine.connect() as connection:
        if is_on:
            require_snapshots(connection)
        else:
            with pytest.raises(Unavailable, match="SET READ_COMMITTED_SNAPSHOT ON"):
                require_snapshots(connection)
