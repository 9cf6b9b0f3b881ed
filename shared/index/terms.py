"""What a Store says of studies beside their instances: when they expire, and external metadata (store.md)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update

from shared.dicom.external import with_external
from shared.dicom.values import NUMBERS, index_value, words
from shared.errors import InvalidRequest
from shared.index.instances import delete as delete_instances
from shared.index.studies import Known
from shared.index.tables import external_key, external_value, name_word, partition, study, study_expiry
from shared.model import ExternalValue, InstanceKey, NewInstance, Scope, StoreTerms


@dataclass(frozen=True, slots=True)
class ExpiredStudy:
    """A study whose time has come, by its row and its names."""

    expires_at: datetime
    row: int
    partition_name: str
    study: str


def save(connection: Connection, before: Known, after: Known, instances: Sequence[NewInstance]) -> None:
    """Keep the terms of instances that are being published: of each study the newest instance's expiry.

    Raises
    ------
    InvalidRequest
        An external value has another VR than the study's value of that tag: the whole Store fails.
    """
    newest: dict[str, NewInstance] = {}
    for one in instances:
        known = newest.get(one.key.study)
        if known is None or one.version > known.version:
            newest[one.key.study] = one
        if one.terms.external:
            _add_external(connection, after.studies[one.key.study].id, one.terms.external)
    for uid, one in newest.items():
        stored = before.studies.get(uid)
        if stored is None or (one.version > stored.newest and one.terms.expires_at != stored.expires_at):
            _set_expiry(connection, after.studies[uid].id, one.terms.expires_at, is_new=stored is None)


def add_missing(connection: Connection, number: int, values: Sequence[ExternalValue]) -> None:
    """Keep those values for a study, by its row's *number*, whose tags it has not."""
    known = _known_external(connection, number)
    _add_external(connection, number, [value for value in values if value.tag not in known])


def confirm(connection: Connection, keys: Sequence[InstanceKey], terms: StoreTerms) -> None:
    """Keep the terms for studies into which only what they already hold was stored again.

    Raises
    ------
    InvalidRequest
        As `save`.
    """
    for number_of_partition, uid in sorted({(key.partition, key.study) for key in keys}):
        number = connection.execute(_STUDY, {"partition": number_of_partition, "study": uid}).scalar()
        if number is not None:
            _set_expiry(connection, number, terms.expires_at, is_new=False)
            _add_external(connection, number, terms.external)


def expired(connection: Connection, now: datetime, *, after: tuple[datetime, int], limit: int) -> list[ExpiredStudy]:
    """Return at most *limit* studies that expire by *now*: those behind *after*, a time and a row, in order."""
    asked = {"now": now, "after": after[0], "row": after[1], "limit": limit}
    return [ExpiredStudy(*found) for found in connection.execute(_EXPIRED, asked)]


def delete_expired(connection: Connection, number: int, clock: Callable[[], datetime], grace: timedelta) -> int:
    """Delete a study, by its row, if it still expires by now; return the number of its instances.

    A Store may have taken its expiry back since it was looked for.
    """
    now = clock()
    found = connection.execute(_STILL_EXPIRED, {"row": number, "now": now}).first()
    return delete_instances(connection, Scope(found.partition_id, found.study_uid), now, now + grace) if found else 0


def external_values(connection: Connection, scope: Scope) -> list[ExternalValue]:
    """Return the external metadata of the study of a scope, by tag."""
    rows = connection.execute(_EXTERNAL, {"partition": scope.partition, "study": scope.study})
    return [ExternalValue(*row) for row in rows]


def external_values_of(
    connection: Connection, partition: int, studies: Sequence[str]
) -> Mapping[str, list[ExternalValue]]:
    """Return the external values of some hundred studies by study."""
    found: dict[str, list[ExternalValue]] = {}
    rows = connection.execute(_EXTERNAL_OF_STUDIES, {"partition": partition, "studies": studies})
    for uid, *value in rows:
        found.setdefault(uid, []).append(ExternalValue(*value))
    return found


def _set_expiry(connection: Connection, number: int, expires_at: datetime | None, *, is_new: bool) -> None:
    if not is_new:
        connection.execute(_FORGET_EXPIRY, {"row": number})
    if expires_at is not None:
        connection.execute(insert(study_expiry), {"study_id": number, "expires_at": expires_at})


def _add_external(connection: Connection, number: int, values: Sequence[ExternalValue]) -> None:
    known = _known_external(connection, number)
    for one in values:
        vr, value = known.get(one.tag, (one.vr, None))
        if vr != one.vr:
            raise InvalidRequest(f"External attribute {one.tag} of the study has VR {vr}, not {one.vr}.")
        if value is None:
            row = {"study_id": number, "tag": one.tag, "vr": one.vr, "value": one.value}
            connection.execute(insert(external_value), row)
            _save_key(connection, number, one)
        elif value != one.value:
            connection.execute(_CHANGE_EXTERNAL, {"row": number, "name": one.tag, "text": one.value})
            _save_key(connection, number, one)


def _save_key(connection: Connection, number: int, value: ExternalValue) -> None:
    """Keep what Search compares of a value; nothing of an empty one."""
    for statement in _FORGET_KEYS:
        connection.execute(statement, {"row": number, "name": value.tag})
    folded = index_value(with_external({}, [value])[value.tag], value.vr)
    if folded is None:
        return
    of = {"study_id": number, "partition_id": connection.execute(_PARTITION, {"row": number}).scalar_one()}
    kept = {"text": None, "number": None} | {"number" if value.vr in NUMBERS else "text": folded}
    connection.execute(insert(external_key), {**of, "tag": value.tag, "vr": value.vr, **kept})
    if value.vr == "PN":
        rows = [{**of, "keyword": value.tag, "position": at, "word": word} for at, word in words(str(folded))]
        connection.execute(insert(name_word), rows)


def _known_external(connection: Connection, number: int) -> Mapping[str, tuple[str, str]]:
    return {tag: (vr, value) for tag, vr, value in connection.execute(_EXTERNAL_OF, {"row": number})}


_STUDY = select(study.c.id).where(
    study.c.partition_id == bindparam("partition"), study.c.study_uid == bindparam("study")
)
_EXTERNAL_OF = select(external_value.c.tag, external_value.c.vr, external_value.c.value).where(
    external_value.c.study_id == bindparam("row")
)
_EXTERNAL = (
    select(external_value.c.tag, external_value.c.vr, external_value.c.value)
    .join(study, study.c.id == external_value.c.study_id)
    .where(study.c.partition_id == bindparam("partition"), study.c.study_uid == bindparam("study"))
    .order_by(external_value.c.tag)
)
_EXTERNAL_OF_STUDIES = (
    select(study.c.study_uid, external_value.c.tag, external_value.c.vr, external_value.c.value)
    .join(external_value, study.c.id == external_value.c.study_id)
    .where(
        study.c.partition_id == bindparam("partition"),
        study.c.study_uid.in_(bindparam("studies", expanding=True)),
    )
)
_PARTITION = select(study.c.partition_id).where(study.c.id == bindparam("row"))
_FORGET_KEYS = [
    delete(table).where(table.c.study_id == bindparam("row"), name == bindparam("name"))
    for table, name in ((external_key, external_key.c.tag), (name_word, name_word.c.keyword))
]
_CHANGE_EXTERNAL = (
    update(external_value)
    .where(external_value.c.study_id == bindparam("row"), external_value.c.tag == bindparam("name"))
    .values(value=bindparam("text"))
)
_EXPIRED = (
    select(study_expiry.c.expires_at, study_expiry.c.study_id, partition.c.name, study.c.study_uid)
    .select_from(
        study_expiry.join(study, study.c.id == study_expiry.c.study_id).join(
            partition, partition.c.id == study.c.partition_id
        )
    )
    .where(
        study_expiry.c.expires_at <= bindparam("now"),
        or_(
            study_expiry.c.expires_at > bindparam("after"),
            and_(study_expiry.c.expires_at == bindparam("after"), study_expiry.c.study_id > bindparam("row")),
        ),
    )
    .order_by(study_expiry.c.expires_at, study_expiry.c.study_id)
    .limit(bindparam("limit"))
)
# Locked, so that a Store on Azure SQL that takes the expiry back comes wholly before or wholly after.
_STILL_EXPIRED = (
    select(study.c.partition_id, study.c.study_uid)
    .join(study_expiry, study_expiry.c.study_id == study.c.id)
    .where(study.c.id == bindparam("row"), study_expiry.c.expires_at <= bindparam("now"))
    .with_hint(study, "WITH (UPDLOCK)", "mssql")
    .with_hint(study_expiry, "WITH (UPDLOCK)", "mssql")
)
_FORGET_EXPIRY = delete(study_expiry).where(study_expiry.c.study_id == bindparam("row"))
