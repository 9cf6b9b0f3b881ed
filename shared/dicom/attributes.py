"""The searchable attributes: one table, read by the indexer, the query parser, the validator and the search.

Adding a searchable attribute is one row here, one column in `index/tables.py` and a migration.
"""

from collections.abc import Mapping

from shared.dicom.data_dictionary import entry, keyword_for_tag, tag_for_keyword
from shared.model import Attribute, Kept, Level


def tag_of(keyword: str) -> str:
    """Return the tag of a dictionary *keyword* as 8 upper-case hexadecimal digits (PS3.6 §6).

    Raises
    ------
    KeyError
        The dictionary has no such keyword.
    """
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return f"{number:08X}"


def keyword_of(tag: str) -> str:
    """Return the dictionary keyword of a *tag* of 8 hexadecimal digits; "" where there is none, as for private ones."""
    return keyword_for_tag(int(tag, 16))


def _vr_of(keyword: str) -> str:
    return entry(int(tag_of(keyword), 16)).vr


_SEARCHABLE: Mapping[Level, Mapping[str, str]] = {
    Level.STUDY: {
        "StudyInstanceUID": "study_uid",
        "PatientName": "patient_name",
        "PatientID": "patient_id",
        "PatientBirthDate": "patient_birth_date",
        "PatientSex": "patient_sex",
        "AccessionNumber": "accession_number",
        "ReferringPhysicianName": "referring_physician_name",
        "StudyDate": "study_date",
        "StudyTime": "study_time",
        "StudyID": "study_id",
        "StudyDescription": "study_description",
    },
    Level.SERIES: {
        "SeriesInstanceUID": "series_uid",
        "Modality": "modality",
        "SeriesNumber": "series_number",
        "SeriesDescription": "series_description",
        "BodyPartExamined": "body_part_examined",
        "PerformedProcedureStepStartDate": "performed_procedure_step_start_date",
        "PerformedProcedureStepStartTime": "performed_procedure_step_start_time",
        "ManufacturerModelName": "manufacturer_model_name",
    },
    Level.INSTANCE: {
        "SOPInstanceUID": "sop_uid",
        "SOPClassUID": "sop_class_uid",
        "InstanceNumber": "instance_number",
    },
}

SEARCHABLE: Mapping[str, Attribute] = {
    keyword: Attribute(keyword, tag_of(keyword), _vr_of(keyword), level, column)
    for level, columns in _SEARCHABLE.items()
    for keyword, column in columns.items()
}
"""The attributes that have a column of their level's table, by keyword."""


def _path(keywords: str) -> str:
    return ".".join(tag_of(keyword) for keyword in keywords.split("."))


def _elsewhere(keyword: str, level: Level, kept: Kept, column: str = "") -> Attribute:
    return Attribute(keyword, _path(keyword), _vr_of(keyword.rsplit(".", 1)[-1]), level, column, kept)


REQUEST_ATTRIBUTES = "RequestAttributesSequence"

_ELSEWHERE = (
    _elsewhere("ModalitiesInStudy", Level.STUDY, Kept.SERIES_COLUMN, "modality"),
    _elsewhere("NumberOfStudyRelatedSeries", Level.STUDY, Kept.COUNT),
    _elsewhere("NumberOfStudyRelatedInstances", Level.STUDY, Kept.COUNT),
    _elsewhere("NumberOfSeriesRelatedInstances", Level.SERIES, Kept.COUNT),
    _elsewhere(
        f"{REQUEST_ATTRIBUTES}.ScheduledProcedureStepID", Level.SERIES, Kept.REQUEST, "scheduled_procedure_step_id"
    ),
    _elsewhere(f"{REQUEST_ATTRIBUTES}.RequestedProcedureID", Level.SERIES, Kept.REQUEST, "requested_procedure_id"),
)

KEYS: Mapping[str, Attribute] = {one.tag: one for one in (*SEARCHABLE.values(), *_ELSEWHERE)}
"""Every attribute that any query can match, by tag or dotted path of tags (PS3.18 §10.6.1.2 and search.md)."""

REQUEST_KEYS: Mapping[str, Attribute] = {
    one.tag.rsplit(".", 1)[-1]: one for one in _ELSEWHERE if one.kept is Kept.REQUEST
}
"""Those within the items of the Request Attributes Sequence, by their own tag."""

DATE_TIMES: Mapping[str, str] = {
    "StudyDate": "StudyTime",
    "PerformedProcedureStepStartDate": "PerformedProcedureStepStartTime",
}
"""Times by the date that they belong to: ranges of both are one range (PS3.4 §C.2.2.2.5)."""


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(tag_of(keyword) for keyword in keywords.split())


_LONG: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability ReferringPhysicianName"
        " TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
    ),
    Level.SERIES: _tags(
        "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID"
        " PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence"
    ),
    Level.INSTANCE: _tags(
        "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC"
        " InstanceNumber Rows Columns BitsAllocated NumberOfFrames"
    ),
}

_SHORT: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        "StudyInstanceUID StudyDate StudyDescription AccessionNumber ReferringPhysicianName PatientName PatientID"
        " PatientBirthDate"
    ),
    Level.SERIES: _tags("SeriesInstanceUID Modality PerformedProcedureStepStartDate ManufacturerModelName"),
    Level.INSTANCE: _tags("SOPInstanceUID"),
}

DEFAULTS: Mapping[str, Mapping[Level, tuple[str, ...]]] = {"long": _LONG, "short": _SHORT}
"""What a search returns of each level, by tag, when nothing is asked for; versions name the table they use."""

ALL: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: _LONG[Level.STUDY]
    + _tags(
        "StudyDescription AnatomicRegionsInStudyCodeSequence ProcedureCodeSequence NameOfPhysiciansReadingStudy"
        " AdmittingDiagnosesDescription ReferencedStudySequence PatientAge PatientSize PatientWeight Occupation"
        " AdditionalPatientHistory"
    ),
    Level.SERIES: _LONG[Level.SERIES]
    + _tags("SeriesNumber Laterality SeriesDate SeriesTime ManufacturerModelName BodyPartExamined"),
    Level.INSTANCE: _LONG[Level.INSTANCE],
}
"""What `includefield=all` returns of each level, by tag, in every version."""

RETURNED: Mapping[Level, frozenset[str]] = {level: frozenset(ALL[level]) | frozenset(_SHORT[level]) for level in Level}
"""What the index keeps of each level beside its columns, so that an ordinary search reads no metadata."""

INDEXED_BY_REFERENCE: Mapping[str, str] = {tag: entry(int(tag, 16)).vr for tags in _SHORT.values() for tag in tags}
"""The VR that version 1 demands of what the reference indexes, by tag (store.md, "index"): the short list, as it
returns what it has in its tables. Our own index has more, whose invalid values never keep an instance from being
stored."""

COMPUTED: Mapping[str, Level] = {
    tag_of("ModalitiesInStudy"): Level.STUDY,
    tag_of("SOPClassesInStudy"): Level.STUDY,
    tag_of("NumberOfStudyRelatedSeries"): Level.STUDY,
    tag_of("NumberOfStudyRelatedInstances"): Level.STUDY,
    tag_of("NumberOfSeriesRelatedInstances"): Level.SERIES,
}
"""What a search can count of a level that no data set holds (PS3.4 §C.6.1.1), by tag."""

OF_EVERY_LEVEL = _tags("RetrieveURL InstanceAvailability")
"""What a search can say of every result, by tag (PS3.18 §10.6.3.3)."""

TRANSFER_SYNTAXES = _tags("TransferSyntaxUID AvailableTransferSyntaxUID")
"""What tells the transfer syntax of the newest instance of a result, by tag (clients.md)."""
