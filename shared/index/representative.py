"""The instance that stands for a study or series in a picture."""

from sqlalchemy import Connection, bindparam, exists, func, select

from shared.dicom.transfer_syntaxes import MEDIA_TYPE_OF
from shared.index.instances import find
from shared.index.tables import frame_page, instance
from shared.model import Level, Scope, StoredInstance

_HAS_FRAMES = exists().where(frame_page.c.version == instance.c.version)
_VIDEO = sorted(syntax for syntax, kind in MEDIA_TYPE_OF.items() if kind.startswith("video/"))


def find_middle(connection: Connection, scope: Scope) -> StoredInstance | None:
    """Return the middle image in *scope*, by series and Instance Number, no video; without images, any instance."""
    if scope.level is not Level.INSTANCE:
        within = (
            instance.c.partition_id == bindparam("partition"),
            instance.c.study_uid == bindparam("study"),
            *((instance.c.series_uid == bindparam("series"),) if scope.level is Level.SERIES else ()),
            _HAS_FRAMES,
            instance.c.transfer_syntax_uid.not_in(_VIDEO),
        )
        uids = {"partition": scope.partition, "study": scope.study, "series": scope.series}
        count = connection.execute(select(func.count()).where(*within), uids).scalar_one()
        if count:
            middle = (
                select(instance.c.series_uid, instance.c.sop_uid)
                .where(*within)
                .order_by(instance.c.series_id, instance.c.instance_number, instance.c.version)
                .offset(count // 2)
                .limit(1)
            )
            series, sop = connection.execute(middle, uids).one()
            scope = Scope(scope.partition, scope.study, series, sop)
    found = find(connection, scope, limit=1)
    return found[0] if found else None
