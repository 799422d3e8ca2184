"""The configuration of base and HyperLLM training; the paper's variants are fields, not classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from hyperllm.config import SETTINGS

CONTRAST_EXACT = 2048
"""The largest catalogue for which ``contrast = auto`` is exact."""

Variant = Literal["full", "structural", "semantic", "only-semantic", "no-meta", "no-contrast"]


@dataclass(frozen=True, config=SETTINGS)
class BaseConfig:
    """A backbone on free node tables and the user–item graph, nothing else."""

    dim: PositiveInt = 50
    """Intrinsic dimension d of tables and points."""
    margin: NonNegativeFloat = 2.3
    """Margin of the user–item ranking loss (m₂ in HyperLLM, the base margin elsewhere)."""
    ranking: Literal["own", "softmax"] = "own"
    """Ranking loss of user–item pairs: the backbone's own, or a sampled softmax over its distances (no margin)."""
    softmax_temperature: PositiveFloat = 0.5
    """τ of that softmax, in squared distances."""
    softmax_negatives: PositiveInt = 1024
    """Of a step's negatives as many as this are shared by all its pairs in that softmax."""
    learning_rate: PositiveFloat = 2e-3
    """Step size of the node tables; losses are sums over the batch."""
    weight_decay: NonNegativeFloat = 5e-4
    """L2 on the node tables, added to the gradient."""
    momentum: NonNegativeFloat = 0.9
    """Of SGD; ignored by adam."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Rule for the node tables."""
    parametrisation: Literal["tangent", "manifold"] = "manifold"
    """Tables as tangent vectors with the plain rule, or as points with the Riemannian rule."""
    batch_size: PositiveInt = 4096
    """User–item pairs a step."""
    negatives: PositiveInt = 1
    """Negatives a positive pair."""
    init_scale: PositiveFloat = 0.1
    """Tables without a start have coordinates from U(−init_scale, init_scale)."""
    compat: bool = False
    """Repeat the published code: its sampler, tag-edge weight, time coordinate and optimiser start."""


@dataclass(frozen=True, config=SETTINGS)
class HyperLLMConfig(BaseConfig):
    """Both phases of HyperLLM (paper §4.2 and §4.3)."""

    variant: Variant = "full"
    """Which parts are on; see the ablation of the paper's §5.3."""
    learning_rate: PositiveFloat = 4e-3
    """Step size of the node tables; losses are sums over the batch."""
    margin: NonNegativeFloat = 1.1
    """m₂, of the user–item ranking loss in phase 2 (Eq. 13)."""
    meta_margin: NonNegativeFloat = 0.1
    """m₁, of the user–item ranking loss in phase 1 (Eq. 11)."""
    tag_margin: NonNegativeFloat = 0.9
    """m₃, of the tag ranking loss (Eq. 14)."""
    contrast_weight: NonNegativeFloat = 0.01
    """w of Eq. 15."""
    contrast_temperature: PositiveFloat = 0.5
    """τ of Eq. 16."""
    contrast: Literal["auto", "exact", "sampled"] = "auto"
    """Eq. 16 over all items, or over items drawn anew each step; auto is exact up to 2,048 items."""
    contrast_sample: Annotated[int, Field(ge=2)] = 512
    """Items drawn a step where Eq. 16 is sampled."""
    experts: PositiveInt = 16
    """K of Eq. 8."""
    text_dim: PositiveInt | None = 128
    """PCA-whiten text vectors to this many directions before the experts; none feeds them as they are."""
    meta_learning_rate: PositiveFloat = 4e-3
    """Step size of the experts."""
    meta_optimizer: Literal["adam", "sgd"] = "adam"
    """Rule for the experts; ``sgd`` uses momentum and weight_decay of the tables, as the published code does."""
    meta_epochs: PositiveInt = 30
    """Most passes of phase 1."""
    meta_patience: PositiveInt = 6
    """Stop phase 1 after this many epochs without a better validation score."""
    user_radius: PositiveFloat | None = 0.04
    """Mean radius to which phase 1's user vectors are scaled where phase 2 starts (Eq. 12); none leaves them."""
    item_radius: PositiveFloat | None = 1.42
    """The same for item vectors."""
    semantics_trainable: bool = False
    """In ``no-meta``: whether the text vectors train along with the experts."""
    tag_edge_weight: PositiveFloat = 1.0
    """Weight of a tag–tag edge in the tag graph, where a tag–item edge weighs 1."""
    linear_expert: bool = False
    """Add a linear item–item model in closed form to the final score."""
    linear_rank: PositiveInt = 1024
    """Numbers it adds to a user's and an item's vector; as many as items make it exact."""
    linear_regularisation: PositiveFloat = 200.0
    """λ of the linear model, larger is smoother."""
    linear_scaling: NonNegativeFloat = 0.5
    """Its columns are divided by this power of their length, so that rare items get directions too."""
    linear_tag_weight: NonNegativeFloat = 5.0
    """How many clicks a full agreement of tags is worth to the linear model."""
    linear_text_weight: NonNegativeFloat = 5.0
    """How many clicks a full agreement of texts is worth to the linear model."""
    linear_share: PositiveFloat | None = None
    """Its weight beside the hyperbolic score, both in standard deviations a user; none is chosen by validation."""

    @property
    def uses_tags(self) -> bool:
        """Whether phase 2 has the tag branch."""
        return self.variant in ("full", "structural", "no-meta", "no-contrast")

    @property
    def uses_semantics(self) -> bool:
        """Whether text vectors are needed."""
        return self.variant != "structural"

    @property
    def uses_meta(self) -> bool:
        """Whether phase 1 runs."""
        return self.variant in ("full", "semantic", "only-semantic", "no-contrast")

    def reads_text(self, given: bool) -> bool:
        """Whether text vectors are read; ``given`` says that phase 1 is done."""
        return self.uses_semantics and (self.linear_expert or not given or not self.uses_meta)

    def contrast_drawn(self, items: int) -> int | None:
        """How many of the catalogue's items a step of Eq. 16 draws; None where it takes them all."""
        if self.contrast == "exact" or items <= self.contrast_sample:
            return None
        return self.contrast_sample if self.contrast == "sampled" or items > CONTRAST_EXACT else None

    @property
    def uses_contrast(self) -> bool:
        """Whether Eq. 16 is in the loss."""
        return self.uses_tags and self.variant != "no-contrast" and self.contrast_weight > 0


QUIRKS: dict[str, object] = {
    "compat": True,
    "dim": 49,
    "parametrisation": "manifold",
    "learning_rate": 1e-3,
    "momentum": 0.95,
    "average": 0.0,
}

COMPAT: dict[str, dict[str, object]] = {
    "base": QUIRKS,
    "hyperllm": {
        **QUIRKS,
        "margin": 1.6,
        "tag_edge_weight": 2.0,
        "text_dim": None,
        "meta_optimizer": "sgd",
        "meta_learning_rate": 1e-3,
        "meta_epochs": 500,
        "meta_patience": 50,
        "contrast": "exact",
        "user_radius": None,
        "item_radius": None,
    },
}
"""What ``--compat`` sets in a run of each framework; `QUIRKS` in those that are not named."""
