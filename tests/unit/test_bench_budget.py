"""The budget of a profile: which module's time counts as what."""

from bench.profiling.budget import budget, heaviest

_EXECUTE = ("/venv/site-packages/sqlalchemy/engine/default.py", "DefaultDialect.do_execute")
_SELECT = ("/app/shared/index/search.py", "matches")
_RE = ("/usr/lib/python3.11/re/__init__.py", "match")
_WALK = ("/app/shared/dicom/walk.py", "Walk._walk")


def test_budget_innermost() -> None:
    """Time counts as the innermost module that is known: the database's own is not that of whoever asked it."""
    assert budget([(2.0, [_EXECUTE, _SELECT]), (1.0, [_SELECT, _WALK])]) == {"SQLite": 2.0, "SQL": 1.0}


def test_budget_of_library() -> None:
    """A module that serves many counts as its caller; what has no known caller is other."""
    assert budget([(1.0, [_RE, _WALK]), (3.0, [_RE])]) == {"parsing": 1.0, "other": 3.0}


def test_heaviest() -> None:
    """The functions that used most themselves come first, added up over their callers."""
    assert heaviest([(1.0, [_WALK]), (2.0, [_SELECT]), (2.0, [_WALK, _SELECT])], 1) == [
        (3.0, "shared/dicom/walk.py: Walk._walk")
    ]
