"""What may be asked and what is answered, field by field.

Knows names, bounds and what each field means; OpenAPI is made of this. Does not know how an answer is found. An unknown
field is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from hyperllm.serving.arrange import Order
from hyperllm.serving.selection import Filter

MOST_K = 1_000
MOST_IDS = 1_000
MOST_ENTRIES = 100_000
"""Most entries of one answer: users times k."""
MOST_REASONS = 1_000
"""Most entries that one answer explains."""
MOST_EXPLAINED = 100
"""Most lists of one answer with reasons."""
MOST_TOLD = 10_000
"""Most ids in the histories of one answer with reasons: each is taken out once to see what it does."""
MOST_PAIRS = 100
"""Most pairs of one ``POST /explain``."""
MOST_ARRANGED = 200
"""Largest k with another order than by score, which compares all pairs of a pool."""
MOST_PLACED = 100
"""Most new items in one request."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Ids = Annotated[list[Id], Field(max_length=MOST_IDS)]
SomeIds = Annotated[list[Id], Field(min_length=1, max_length=MOST_IDS)]
K = Annotated[int, Field(ge=1, le=MOST_K, description="Items asked for.")]
Limit = Annotated[int, Field(ge=1, le=MOST_K, description="Most rows of the answer.")]
Search = Annotated[str, StringConstraints(max_length=200)]


class Asked(BaseModel):
    """Anything a client sends."""

    model_config = ConfigDict(extra="forbid")


class Choice(Asked):
    """How long a list should be, and of which items."""

    k: K = 10
    category: Ids = Field([], description="Only items with one of these category names in their path.")
    tag: Ids = Field([], description="Only items with one of these tags, by id or name.")
    only: Ids | None = Field(None, description="Only items with these ids; unknown ones change nothing.")
    exclude: Ids = Field([], description="No items with these ids; unknown ones change nothing.")

    @property
    def filter(self) -> Filter:
        """Which items may appear."""
        return Filter(
            categories=tuple(self.category),
            tags=tuple(self.tag),
            allow=None if self.only is None else tuple(self.only),
            deny=tuple(self.exclude),
        )


class Wishes(Choice):
    """How a list of recommendations should be, and in which order."""

    seen: bool = Field(False, description="Whether items of the user's own history may appear.")
    diversity: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="0 is none, 1 is nothing but.")
    breadth: float = Field(0.0, ge=-1, le=1, allow_inf_nan=False, description="-1 is specific, 1 is broad.")
    by: Literal["radius", "level"] = Field("radius", description="Broad means a small radius, or tags of a low level.")
    explain: bool = Field(False, description="Whether each entry says why it is there.")

    @property
    def plain(self) -> bool:
        """Whether this is the list as the model has it."""
        return not (self.filter or self.diversity or self.breadth or self.explain)

    @property
    def order(self) -> Order:
        """In which order."""
        return Order(diversity=self.diversity, breadth=self.breadth, by=self.by)


class RecommendOne(Wishes):
    """``GET /recommend``."""

    user: Id = Field(description="A user's id.")


class RecommendMany(Wishes):
    """``POST /recommend``."""

    users: SomeIds = Field(description="Users' ids, answered in this order.")


class FoldIn(Wishes):
    """``POST /fold-in``."""

    histories: Annotated[dict[Id, Ids], Field(min_length=1, max_length=MOST_IDS)] = Field(
        description="Any name of a new user -> ids of the items that user has chosen."
    )


class SimilarOne(Choice):
    """``GET /similar``."""

    item: Id = Field(description="An item's id.")


class SimilarMany(Choice):
    """``POST /similar``."""

    items: SomeIds = Field(description="Items' ids, answered in this order.")


class Pair(Asked):
    """A user and an item."""

    user: Id
    item: Id


class ExplainMany(Asked):
    """``POST /explain``."""

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=MOST_PAIRS)]


class NewItem(Asked):
    """What is known of an item that nobody has clicked yet."""

    item_id: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
    title: Annotated[str, StringConstraints(min_length=1, max_length=2_000, strip_whitespace=True)]
    description: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    brand: Annotated[str, StringConstraints(max_length=500)] | None = None
    categories: Annotated[list[Annotated[str, StringConstraints(max_length=500)]], Field(max_length=50)] = []


class AddItems(Asked):
    """``POST /items``."""

    items: Annotated[list[NewItem], Field(min_length=1, max_length=MOST_PLACED)]
    keep: bool = Field(True, description="False: place them, show where, and forget them.")


class Error(BaseModel):
    """Every error: one sentence."""

    error: str


class Answer(BaseModel):
    """Anything the server knows of the model."""

    version: str = Field(description="Changes with every other model and every added item.")


class Brief(BaseModel):
    """An item in a list."""

    item_id: str
    title: str | None
    brand: str | None
    categories: list[str]


class Clicked(Brief):
    """An item in a list of findings."""

    clicks: int = Field(description="Users who have it in their history.")


class Near(BaseModel):
    """An item of the history that speaks for the recommended one."""

    item_id: str
    title: str | None
    similarity: float = Field(description="Minus the distance of the two items' points, or their cosine.")
    effect: float = Field(gt=0, description="How much the score falls when this item leaves the history.")


class Parts(BaseModel):
    """What the score is the sum of; a part the model does not have is absent."""

    hyperbolic: float | None = None
    linear: float | None = None


class Explanation(BaseModel):
    """Why an item is recommended to a user."""

    item_id: str
    title: str | None
    score: float
    parts: Parts
    distance: float | None = Field(description="Hyperbolic distance of user and item; null without such points.")
    path: list[str] = Field(description="Tags shared with the history, broad to specific.")
    path_items: int = Field(description="Items of the history that carry the path's last tag.")
    nearest: list[Near]


class Entry(Brief):
    """An item in a ranking."""

    rank: int = Field(ge=1)
    score: float = Field(description="Higher is better; compares items within one list.")


class Recommended(Entry):
    """An item in a user's ranking; reasons only on request."""

    reasons: Explanation | None = None


class UserList(BaseModel):
    """One user's list."""

    user: str
    items: list[Recommended]


class UserAnswer(Answer, UserList):
    """``GET /recommend``."""


class UserAnswers(Answer):
    """``POST /recommend``, ``POST /fold-in``."""

    results: list[UserList]


class ItemList(BaseModel):
    """One item's neighbours."""

    item: str
    items: list[Entry]


class ItemAnswer(Answer, ItemList):
    """``GET /similar``."""


class ItemAnswers(Answer):
    """``POST /similar``."""

    results: list[ItemList]


class UserExplanation(Explanation):
    """An explanation and whom it is for."""

    user: str


class ExplainAnswer(Answer, UserExplanation):
    """``GET /explain``."""


class ExplainAnswers(Answer):
    """``POST /explain``."""

    results: list[UserExplanation]


class FoundUser(BaseModel):
    """A user in a list of findings."""

    user_id: str
    clicks: int


class UsersAnswer(Answer):
    """``GET /users``."""

    users: list[FoundUser]


class HistoryAnswer(Answer):
    """``GET /users/{user_id}``."""

    user_id: str
    history: list[Brief]


class ItemsAnswer(Answer):
    """``GET /items``."""

    items: list[Clicked]


class TagName(BaseModel):
    """A tag by name."""

    tag_id: str
    name: str


class LevelTag(TagName):
    """A tag and how specific it is."""

    level: int | None = Field(description="1 is broad, 3 is specific; null where unknown.")


class ItemCard(Answer, Brief):
    """``GET /items/{item_id}``."""

    description: str | None
    tags: list[LevelTag]
    radius: float | None = Field(description="Distance from the origin: small is general. Null without points.")
    clicks: int
    added: bool = Field(description="Whether it joined after training.")


class TagRow(LevelTag):
    """A tag in a list."""

    items: int = Field(description="Items that carry it.")
    children: int = Field(description="Narrower tags.")


class TagsAnswer(Answer):
    """``GET /tags``."""

    tags: list[TagRow]


class TagAnswer(Answer, LevelTag):
    """``GET /tags/{tag_id}``."""

    parents: list[TagName]
    children: list[TagName]
    items: list[Brief] = Field(description="Its most clicked items.")


class DiskItems(BaseModel):
    """Items on the disk, column by column."""

    id: list[str]
    title: list[str | None]
    x: list[float]
    y: list[float]
    category: list[int] = Field(description="Place in `categories`; -1 for none.")


class DiskTags(BaseModel):
    """Tags on the disk, column by column."""

    id: list[str]
    name: list[str]
    x: list[float]
    y: list[float]
    level: list[int | None]
    items: list[int]


class DiskAnswer(Answer):
    """``GET /disk``: points of the unit disk, where hyperbolic distance grows towards the rim."""

    scale: float
    categories: list[str]
    items: DiskItems
    tags: DiskTags


class DiskUser(Answer):
    """``GET /disk/users/{user_id}``."""

    user_id: str
    x: float
    y: float


class PlacedNear(BaseModel):
    """A known item beside a new one."""

    item_id: str
    title: str | None
    similarity: float = Field(description="Minus the distance of the two items' points, or their cosine.")
    share: float = Field(description="Its part of the new item's place; shares of all neighbours sum to 1.")


class PlacedItem(BaseModel):
    """Where a new item was placed, and why."""

    item_id: str
    title: str | None
    tags: list[LevelTag]
    near: list[PlacedNear]
    x: float | None
    y: float | None
    radius: float | None
    note: str | None


class PlacedAnswer(Answer):
    """``POST /items``."""

    items: list[PlacedItem]


class Health(Answer):
    """``GET /health``."""

    status: Literal["ok"]
    run: str
    users: int
    items: int
    tags: int
    added: int = Field(description="Items that joined after training.")
    swaps: int = Field(description="Models that took the place of another since the start.")
    started_s: float = Field(description="When the server started, in seconds since 1970.")


class ReportAnswer(Answer):
    """``GET /report``: what is known of the run; empty parts where only a model is known."""

    run: str
    settings: dict[str, Any]
    phases: dict[str, Any]
    metrics: dict[str, Any]
    sizes: dict[str, Any]
