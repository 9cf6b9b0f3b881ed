"""What a client may ask of a picture (PS3.18 §8.3.5): values that keep their own rules, without a pixel library."""

from dataclasses import dataclass, field
from enum import Enum
from math import isfinite

from shared.errors import InvalidRequest

MAX_SIDE = 8192
"""Columns or rows of a picture that is scaled to a viewport: 67 million pixels, what a request may take of memory."""

FULL_QUALITY = 100
"""Of a JPEG, where the client does not say (retrieve.md, "Rendered")."""


class VoiFunction(Enum):
    """How a window maps its values; the values are those of (0028,1056) VOI LUT Function (PS3.3 §C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Annotation(Enum):
    """What is burnt into a picture; the values are those of a query.

    `OVERLAY` goes beyond PS3.18 §8.3.5.1.1, as it allows: the overlay planes of the image (PS3.3 §C.9.2).
    """

    PATIENT = "patient"
    TECHNIQUE = "technique"
    OVERLAY = "overlay"


class IccProfile(Enum):
    """What becomes of the colour profile of an image (PS3.18 §8.3.5.1.5); the values are those of a query."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"


@dataclass(frozen=True, slots=True)
class Window:
    """A range of values that is shown from black to white (PS3.3 §C.11.2.1.2).

    Raises
    ------
    InvalidRequest
        The width is not above 0, or below 1 where the function is LINEAR.
    """

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    def __post_init__(self) -> None:
        least = 1.0 if self.function is VoiFunction.LINEAR else 0.0
        if not (isfinite(self.center) and isfinite(self.width)):
            raise InvalidRequest("window: center or width is not finite.")
        if self.width < least or self.width == 0:
            wanted = "1 or more" if least else "more than 0"
            raise InvalidRequest(f"window: the width of a {self.function.value} window is {wanted}.")


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size that a picture is scaled to fit in, and the region of the image that it shows (PS3.18 §8.3.5.1.3).

    Parameters
    ----------
    width, height
        In pixels of the picture; the region is made as large as fits, its proportions kept.
    x, y
        Of the region's corner, in pixels of the image from its top left corner; PS3.18 takes their absolute values.
    source_width, source_height
        Of the region, in pixels of the image; negative to flip it, None up to the image's edge.

    Raises
    ------
    InvalidRequest
        A size is 0, negative or over `MAX_SIDE`; or the region has no size.
    """

    width: int
    height: int
    x: float = 0.0
    y: float = 0.0
    source_width: float | None = None
    source_height: float | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise InvalidRequest(f"viewport: width and height are whole numbers from 1 to {MAX_SIDE}.")
        region = (self.x, self.y, self.source_width or 0.0, self.source_height or 0.0)
        if not all(isfinite(one) for one in region) or 0 in {self.source_width, self.source_height}:
            raise InvalidRequest("viewport: the region has no size.")


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How one frame is to be shown.

    Parameters
    ----------
    frame
        Its number; the first is 1. The values that a data set has for one frame alone are found by it.
    window
        In place of what the data set says.
    viewport
        None leaves the image its size.
    quality
        Of a JPEG, from 1 to 100.
    """

    frame: int = 1
    window: Window | None = None
    viewport: Viewport | None = None
    annotation: frozenset[Annotation] = field(default_factory=frozenset)
    quality: int = FULL_QUALITY
    icc_profile: IccProfile = IccProfile.NO

    def __post_init__(self) -> None:
        if self.frame < 1:
            raise InvalidRequest("frame: frames are counted from 1.")
        if not 1 <= self.quality <= FULL_QUALITY:
            raise InvalidRequest(f"quality: expected a whole number from 1 to {FULL_QUALITY}.")
