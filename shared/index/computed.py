"""What a search says of its results that no row holds: counts, modalities, classes, transfer syntaxes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, func, select

from shared.dicom.attributes import COMPUTED, TRANSFER_SYNTAXES, tag_of
from shared.index.tables import instance, series
from shared.model import Level, Query

_IDS: BindParameter[int] = bindparam("ids", expanding=True)
_Compute: TypeAlias = Callable[[Connection, Sequence[int]], dict[int, Any]]


def compute(
    connection: Connection, found: Sequence[tuple[Mapping[Level, int], int]], query: Query
) -> list[dict[str, Any]]:
    """Return for each row the computed attributes that the query asks for, by tag.

    Parameters
    ----------
    found
        Of each row the numbers of its study, series and instance, as far down as it goes, and its newest version.
    """
    computed: list[dict[str, Any]] = [{} for _ in found]
    asked = {condition.attribute.tag for condition in query.conditions} | set(query.include)
    for tag, level in COMPUTED.items():
        if found and level in found[0][0] and (query.include_all or tag in asked):
            _add(computed, tag, [ids[level] for ids, _ in found], _COMPUTE[tag](connection, _sorted(found, level)))
    syntaxes = [tag for tag in TRANSFER_SYNTAXES if tag in asked or (query.include_all and query.level is _INSTANCE)]
    if found and syntaxes:
        values = _transfer_syntaxes(connection, [version for _, version in found])
        for tag in syntaxes:
            _add(computed, tag, [version for _, version in found], values)
    return computed


def _add(computed: list[dict[str, Any]], tag: str, keys: Sequence[int], values: Mapping[int, Any]) -> None:
    for key, attributes in zip(keys, computed, strict=True):
        if key in values:
            attributes[tag] = values[key]


def _sorted(found: Sequence[tuple[Mapping[Level, int], int]], level: Level) -> list[int]:
    return sorted({ids[level] for ids, _ in found})


def _count(member: ColumnElement[int]) -> _Compute:
    """Return a function that counts rows by their study or series, *member*, as an attribute of VR IS."""
    statement = select(member, func.count()).where(member.in_(_IDS)).group_by(member)

    def count(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
        rows = connection.execute(statement, {"ids": ids}).all()
        return {number: {"vr": "IS", "Value": [total]} for number, total in rows}

    return count


def _distinct(member: ColumnElement[int], column: ColumnElement[str], vr: str) -> _Compute:
    """Return a function that gathers the values of a *column* by study; code strings are upper case (PS3.5 §6.2)."""
    several = select(member, column).where(member.in_(_IDS), column.is_not(None))
    statement = several.distinct().order_by(member, column)

    def gather(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
        gathered: dict[int, Any] = {}
        for number, value in connection.execute(statement, {"ids": ids}).all():
            gathered.setdefault(number, {"vr": vr, "Value": []})["Value"].append(value.upper() if vr == "CS" else value)
        return gathered

    return gather


def _transfer_syntaxes(connection: Connection, versions: Sequence[int]) -> dict[int, Any]:
    rows = connection.execute(_SYNTAXES, {"ids": versions}).all()
    return {version: {"vr": "UI", "Value": [syntax]} for version, syntax in rows}


_INSTANCE = Level.INSTANCE
_SYNTAXES = select(instance.c.version, instance.c.transfer_syntax_uid).where(instance.c.version.in_(_IDS))
_COMPUTE: Mapping[str, _Compute] = {
    tag_of("ModalitiesInStudy"): _distinct(series.c.study_id, series.c.modality, "CS"),
    tag_of("SOPClassesInStudy"): _distinct(instance.c.study_id, instance.c.sop_class_uid, "UI"),
    tag_of("NumberOfStudyRelatedSeries"): _count(series.c.study_id),
    tag_of("NumberOfStudyRelatedInstances"): _count(instance.c.study_id),
    tag_of("NumberOfSeriesRelatedInstances"): _count(instance.c.series_id),
}
"""How each of `COMPUTED` is found, by tag."""
