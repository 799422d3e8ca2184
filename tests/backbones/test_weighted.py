"""The contract holds for a backbone with weights of its own, which begin as not-a-number until they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backbones.weighted import Weighted
from tests.reference.equations import clamped, exponential

from hyperllm.backbones import BackboneConfig
from hyperllm.testing.backbone import BackboneContract


def reference(
    x: np.ndarray, operator: np.ndarray, config: BackboneConfig, weights: dict[str, np.ndarray]
) -> np.ndarray:
    powers = [np.linalg.matrix_power(operator, level) @ x for level in range(1, config.layers + 1)]
    out = sum(np.exp(weight) * power for weight, power in zip(weights["logits"], powers, strict=True))
    return exponential(clamped(out, config.radius))


class TestWeighted(BackboneContract):
    backbone = Weighted
    reference = staticmethod(reference)

    def test_a_reference_with_the_weights_in_another_order_is_noticed(self) -> None:
        class Turned(TestWeighted):
            reference = staticmethod(
                lambda x, operator, config, weights: reference(x, operator, config, {"logits": weights["logits"][::-1]})
            )

        with pytest.raises(AssertionError, match="Not equal"):
            Turned().test_it_equals_its_reference()
