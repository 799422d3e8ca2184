"""KAR: Towards Open-World Recommendation with Knowledge Augmentation from LLMs (Xi et al., RecSys 2024), ported.

A hybrid-expert adaptor turns text vectors s into few dimensions r(s); every node enters the backbone as its free vector
beside γ·r(s). Both train end to end with the backbone's own loss. Shapes: n nodes, d dims of the tables, w of the
adaptor, d₁ text dims, k experts of a tower.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from hyperllm.backbones.base import Backbone
from hyperllm.config import SETTINGS
from hyperllm.frameworks.base import Base
from hyperllm.frameworks.perceptron import perceptron
from hyperllm.frameworks.text import TextConfig, text_features
from hyperllm.frameworks.world import World


@dataclass(frozen=True, config=SETTINGS)
class KARConfig(TextConfig):
    """KAR as its authors have it."""

    text_learning_rate: PositiveFloat = 5e-4
    """Step size of Adam for the adaptor."""
    text_width: PositiveInt = 32
    """Dimensions the adaptor adds to a node's vector."""
    hidden: PositiveInt = 128
    """Width of an expert's hidden layer."""
    shared_experts: PositiveInt = 2
    """Experts that users and items share."""
    dedicated_experts: PositiveInt = 5
    """Experts of users alone, and as many of items alone."""
    last_relu: bool = True
    """Whether the experts end in a ReLU, which leaves all nodes in one orthant."""
    centre: bool = False
    """Whether the items' mean text vector is subtracted first."""
    gamma: NonNegativeFloat | None = 1.0
    """γ, weight of the adaptor's output; none starts it where both parts have the same mean length."""
    gamma_trainable: bool = False
    """Whether γ trains."""
    fusion: Literal["concat", "linear"] = "concat"
    """Both parts side by side, or brought back to the tables' dimension by a linear layer."""


@dataclass(frozen=True, config=SETTINGS)
class KARTunedConfig(KARConfig):
    """KAR as it does best here: what drags all nodes to one side is off, and the two parts begin equally long."""

    last_relu: bool = False
    """Whether the experts end in a ReLU, which leaves all nodes in one orthant."""
    centre: bool = True
    """Whether the items' mean text vector is subtracted first."""
    gamma: NonNegativeFloat | None = None
    """γ, weight of the adaptor's output; none starts it where both parts have the same mean length."""
    gamma_trainable: bool = True
    """Whether γ trains."""


class Adaptor(nn.Module):
    """r(s) = Σ_e g_e(s)·E_e(s), g = softmax(W s + b): shared experts, and dedicated ones of each of two towers."""

    def __init__(self, text_dim: int, config: KARConfig, *, generator: torch.Generator) -> None:
        super().__init__()

        def experts(count: int) -> nn.ModuleList:
            widths = (text_dim, config.hidden, config.text_width)
            initialise = nn.init.xavier_normal_
            last = config.last_relu
            made = (
                perceptron(widths, activation=nn.ReLU(), generator=generator, last=last, initialise=initialise)
                for _ in range(count)
            )
            return nn.ModuleList(made)

        self.shared, self.dedicated = experts(config.shared_experts), experts(2 * config.dedicated_experts)
        gates = (text_dim, config.shared_experts + config.dedicated_experts)
        self.gates = nn.ModuleList(
            perceptron(gates, activation=nn.Identity(), generator=generator, initialise=nn.init.xavier_normal_)
            for _ in range(2)
        )

    def forward(self, s: Tensor, tower: int) -> Tensor:
        """Text vectors (n, d₁) of tower 0, users, or 1, items, to (n, w)."""
        half = len(self.dedicated) // 2
        own = self.dedicated[tower * half : (tower + 1) * half]
        outputs = torch.stack([expert(s) for expert in (*self.shared, *own)], dim=1)  # (n, k, w)
        gates = torch.softmax(self.gates[tower](s), dim=-1)
        return torch.bmm(gates.unsqueeze(1), outputs).squeeze(1)


class KAR(Base):
    """x = [table, γ·r(s)], so points have d + w dims; the tables alone are decayed and may live on the manifold."""

    config_class = KARConfig
    config: KARConfig
    uses_text = True
    texts: Tensor

    def __init__(self, world: World, backbone: Backbone, config: KARConfig, *, seed: int = 0) -> None:
        super().__init__(world, backbone, config, seed=seed)
        texts = text_features(world, config.text_dim)
        if config.centre:
            texts = torch.where(texts.any(1, keepdim=True), texts - texts[world.users :].mean(0), texts)
        self.register_buffer("texts", texts, persistent=False)
        generator = self.streams.torch("adaptor")
        self.adaptor = Adaptor(texts.shape[1], config, generator=generator).to(world.device)
        self.gamma = nn.Parameter(torch.tensor(1.0, device=world.device), requires_grad=False)
        with torch.no_grad():
            self.gamma.fill_(self._balance() if config.gamma is None else config.gamma)
        learned = nn.ModuleList([self.adaptor])
        if config.fusion == "linear":
            widths = (config.dim + config.text_width, config.dim)
            self.mix = perceptron(widths, activation=nn.Identity(), generator=generator)
            learned.append(self.mix)
        self.learning(learned, config.text_learning_rate)
        if config.gamma_trainable:
            self.gamma.requires_grad_()
            self.optimizers[-1].add_param_group({"params": [self.gamma]})

    def features(self) -> Tensor:
        """[table, γ·r(s)] (n, d + w), or a linear layer of it (n, d)."""
        both = torch.cat([self.nodes(), self.gamma * self._adapted()], dim=1)
        return self.mix(both) if self.config.fusion == "linear" else both

    def _adapted(self) -> Tensor:
        users = self.world.users
        return torch.cat([self.adaptor(self.texts[:users], 0), self.adaptor(self.texts[users:], 1)])

    def _balance(self) -> Tensor:
        """The γ at which γ·r(s) is as long as the tables' vectors, on average."""
        return self.nodes().norm(dim=1).mean() / self._adapted().norm(dim=1).mean().clamp_min(1e-12)


class KARTuned(KAR):
    """`KAR` under other defaults."""

    config_class = KARTunedConfig
