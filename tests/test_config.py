from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperllm.backbones import BACKBONES, HGCF, BackboneConfig
from hyperllm.config import build, document, parse_assignments
from hyperllm.errors import ConfigError
from hyperllm.experiments.presets import PRESETS
from hyperllm.frameworks import FRAMEWORKS, BaseConfig, HyperLLMConfig
from hyperllm.frameworks.config import COMPAT
from hyperllm.training.loop import FitConfig

ALL = (HGCF.config_class, HyperLLMConfig, FitConfig)


def test_strings_are_read_as_the_fields_type_by_the_class_that_has_the_field() -> None:
    typed = {"layers": "2", "radius": "none", "margin": "0.5", "patience": "7", "compat": "true", "variant": "semantic"}
    backbone, framework, limits = build(ALL, typed)
    assert (backbone.layers, backbone.radius) == (2, None)
    assert (framework.margin, framework.compat, framework.variant) == (0.5, True, "semantic")
    assert limits.patience == 7


def test_without_values_everything_is_the_default() -> None:
    assert build(ALL, {}) == [HGCF.config_class(), HyperLLMConfig(), FitConfig()]


def test_an_unknown_key_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'learning_rat'.*Did you mean 'learning_rate'"):
        build(ALL, {"learning_rat": "1"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", "0"),
        ("layers", "2.5"),
        ("margin", "-1"),
        ("margin", "nan"),
        ("learning_rate", "0"),
        ("variant", "everything"),
        ("optimizer", "lion"),
        ("radius", "-1"),
        ("epochs", "none"),
        ("compat", "perhaps"),
    ],
)
def test_a_bad_value_names_the_setting_and_what_was_found(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"setting '{key}'"):
        build(ALL, {key: value})


def test_configs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        BaseConfig().margin = 1.0  # type: ignore[misc]


def test_unknown_keywords_are_refused_by_the_classes_themselves() -> None:
    with pytest.raises((TypeError, ValueError)):
        BaseConfig(marginn=1.0)  # type: ignore[call-arg]


@given(st.dictionaries(st.text("abc_", min_size=1), st.text("xyz=1. ")))
def test_assignments_survive_a_round_trip(settings: dict[str, str]) -> None:
    found = parse_assignments([f"{key}={value}" for key, value in settings.items()])
    assert found == {key: value.strip() for key, value in settings.items()}


@pytest.mark.parametrize("text", ["margin", "=1", " =1", ""])
def test_an_assignment_without_key_or_equals_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_assignments([text])


def test_the_document_of_all_configs_is_flat_json_and_builds_them_again() -> None:
    configs = build(ALL, {"dim": "7", "contrast_sample": "20", "radius": "none"})
    flat = json.loads(json.dumps(document(*configs)))
    assert build(ALL, flat) == configs
    assert len(flat) == sum(len(document(config)) for config in configs), "two configs share a name"


def test_what_compat_sets_is_legal_and_follows_the_published_code() -> None:
    _, config, _ = build(ALL, COMPAT["hyperllm"])
    assert (config.dim, config.parametrisation, config.meta_optimizer) == (49, "manifold", "sgd")


PUBLISHED = {
    "learning_rate": 1e-3,
    "momentum": 0.95,
    "weight_decay": 5e-4,
    "batch_size": 4096,
    "negatives": 1,
    "optimizer": "sgd",
    "parametrisation": "manifold",
    "average": 0.0,
    "precision": "float32",
    "epochs": 500,
    "patience": 50,
    "layers": 3,
    "radius": 1.5,
}
PUBLISHED_HYPERLLM = {
    **PUBLISHED,
    "margin": 1.6,
    "tag_margin": 0.9,
    "meta_margin": 0.1,
    "experts": 16,
    "contrast": "exact",
    "contrast_weight": 0.01,
    "contrast_temperature": 0.5,
    "text_dim": None,
    "meta_optimizer": "sgd",
    "meta_learning_rate": 1e-3,
    "meta_epochs": 500,
    "meta_patience": 50,
    "user_radius": None,
    "item_radius": None,
    "tag_edge_weight": 2.0,
}


@pytest.mark.parametrize("given", [COMPAT, PRESETS["paper"].settings], ids=["--compat", "--preset paper"])
def test_what_was_published_does_not_move_with_our_defaults(given: Mapping[str, Mapping[str, Any]]) -> None:
    for framework, wanted in (("base", {**PUBLISHED, "margin": 2.3}), ("hyperllm", PUBLISHED_HYPERLLM)):
        told = document(*build((FRAMEWORKS[framework].config_class, BackboneConfig, FitConfig), given[framework]))
        assert {name: told[name] for name in wanted} == wanted, framework


@pytest.mark.parametrize(
    ("backbone", "base", "hyperllm"),
    [
        ("hgcf", {"margin": 2.3}, {"margin": 1.6, "tag_margin": 0.9, "experts": 16, "meta_margin": 0.1}),
        ("hrcf", {"margin": 2.3}, {"margin": 1.6, "tag_margin": 0.4, "experts": 16, "meta_margin": 0.1}),
        ("hicf", {"margin": 3.8, "negatives": 3}, {"margin": 3.3, "tag_margin": 0.3, "experts": 20, "negatives": 3}),
        (
            "hgch",
            {"margin": 1.0, "learning_rate": 1e-4, "optimizer": "adam", "reduction": "mean_active"},
            {"margin": 4.6, "tag_margin": 0.2, "experts": 20, "learning_rate": 1e-4, "reduction": "sum"},
        ),
        (
            "hypercl",
            {"margin": 2.5, "weight_decay": 5e-3},
            {"margin": 2.3, "tag_margin": 0.02, "experts": 20, "meta_margin": 0.3, "weight_decay": 5e-3},
        ),
    ],
)
def test_the_papers_preset_knows_what_was_published_for_each_backbone(
    backbone: str, base: dict[str, Any], hyperllm: dict[str, Any]
) -> None:
    for framework, wanted in (("base", base), ("hyperllm", hyperllm)):
        classes = (FRAMEWORKS[framework].config_class, BACKBONES[backbone].config_class, FitConfig)
        told = document(*build(classes, PRESETS["paper"].chosen(backbone, framework)))
        assert {name: told[name] for name in wanted} == wanted
        assert told["layers"] == 3


@pytest.mark.parametrize(
    ("variant", "tags", "semantics", "meta", "contrast"),
    [
        ("full", True, True, True, True),
        ("structural", True, False, False, True),
        ("semantic", False, True, True, False),
        ("only-semantic", False, True, True, False),
        ("no-meta", True, True, False, True),
        ("no-contrast", True, True, True, False),
    ],
)
def test_the_variants_switch_the_parts_of_the_papers_ablation(
    variant: str, tags: bool, semantics: bool, meta: bool, contrast: bool
) -> None:
    (config,) = build([HyperLLMConfig], {"variant": variant})
    found = (config.uses_tags, config.uses_semantics, config.uses_meta, config.uses_contrast)
    assert found == (tags, semantics, meta, contrast)
