"""``run FILE.toml``: all stages from one file.

A table a stage, in the order prepare, extract, embed, train (one table, or an array of tables), evaluate, compare,
recommend; a stage that is not named is not run. ``tune`` is a stage of its own: its ``set`` and candidates, or its
``set`` and space, take the place of the last train table's ``set``. ``record`` names the JSON file that keeps what came
out. Knows how a table becomes a stage's arguments; an unknown key is an error with the choices. Paths are relative to
the file and may name environment variables (``$HYPERLLM_DATA/…``).
"""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hyperllm.data.prepare import PrepareConfig, prepare
from hyperllm.data.sources.requests import AmazonRequest, PublishedRequest, TableRequest
from hyperllm.data.streaming.prepare import prepare_within
from hyperllm.errors import ConfigError, ProviderUnavailable, did_you_mean
from hyperllm.evaluation import tables
from hyperllm.experiments import record
from hyperllm.experiments.measure import compare_runs, evaluate_run
from hyperllm.experiments.spaces import chosen
from hyperllm.experiments.train import TrainRequest, configured, train
from hyperllm.experiments.trial import Pool, Trial
from hyperllm.experiments.tune import MOST, tune
from hyperllm.experiments.workspace import Workspace
from hyperllm.extraction.config import ExtractConfig, extract_config
from hyperllm.extraction.config import options as extract_options
from hyperllm.extraction.encode import embed, embed_options
from hyperllm.extraction.extract import extract
from hyperllm.frameworks.train import Progress
from hyperllm.serving.recommender import Recommender

Say = Callable[[str], None]
Count = Callable[..., None]
"""Called with (done, total, note)."""
STAGES = ("prepare", "extract", "embed", "tune", "train", "evaluate", "compare", "recommend")


@dataclass(frozen=True)
class Recipe:
    """A parsed file: the workspace it names (or None), ``published`` numbers it carries, and its stages."""

    path: Path
    workspace: Path | None
    stages: Mapping[str, Any]
    published: Mapping[str, Any] = field(default_factory=dict)
    record: Path | None = None

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Parse and check ``path``; raises `ConfigError`."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{str(path)!r} does not exist; expected a TOML file of stages") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{str(path)!r} is not TOML: {error}") from None
        known = {"workspace", "published", "record", *STAGES}
        _check_keys(content, known, where=str(path))
        stages = {name: content[name] for name in STAGES if name in content}
        if not stages:
            raise ConfigError(f"{str(path)!r} names no stage; expected tables such as [prepare] and [train]")
        places: dict[str, Path | None] = {}
        for key, kind in (("workspace", "folder"), ("record", "file")):
            name = content.get(key)
            if name is not None and not isinstance(name, str):
                raise ConfigError(f"{str(path)!r}: {key} is the name of a {kind}; found {name!r}")
            places[key] = located(path.parent, name) if name else None
        recipe = cls(path, places["workspace"], stages, content.get("published", {}), places["record"])
        recipe.check()
        return recipe

    def check(self) -> None:
        """Raise `ConfigError` on anything in the file that could only fail after hours of work."""
        for name, table in self.stages.items():
            many = isinstance(table, list) and name == "train"
            if not all(isinstance(entry, dict) for entry in (table if many else [table])):
                raise ConfigError(f"{str(self.path)!r}: {name} must be a table, written [{name}]; found {table!r}")
        _check_keys(self.stages.get("extract", {}), extract_options(), where="[extract]")
        _extract_config(self.stages.get("extract", {}), self.path.parent)
        _check_keys(self.stages.get("embed", {}), _options(embed) | {"preset"}, where="[embed]")
        for name, stage in (
            ("evaluate", evaluate_run),
            ("compare", compare_runs),
        ):
            _check_keys(self.stages.get(name, {}), _options(stage) | {"runs"}, where=f"[{name}]")
        _check_keys(self.stages.get("recommend", {}), {"out", "run", "k"}, where="[recommend]")
        choices = {"space", "trials", "sampler"} if self.searches else {"candidates", "keep"}
        _check_keys(self.stages.get("tune", {}), {"set", "prune_at"} | choices, where="[tune]")
        if not isinstance(self.published, dict) or not all(_is(v, float, int) for v in self.published.values()):
            raise ConfigError(f"[published] is a table of numbers; found {self.published!r}")
        if self.record is not None and (self.record.is_dir() or any(p.is_file() for p in self.record.parents)):
            raise ConfigError(f"record names the file {str(self.record)!r}, which cannot be written there")
        for name in ("evaluate", "compare"):
            cuts = self.stages.get(name, {}).get("k", [10, 20])
            if not isinstance(cuts, list) or not all(isinstance(k, int) and k > 0 for k in cuts):
                raise ConfigError(f"[{name}] k is a list of positive numbers such as [10, 20]; found {cuts!r}")
        for request in self.requests():
            configured(request)
        if "tune" in self.stages:
            self._check_tune()

    @property
    def searches(self) -> bool:
        """Whether ``tune`` names a space to search, rather than candidates."""
        return "space" in self.stages.get("tune", {})

    def _check_tune(self) -> None:
        table = self.stages["tune"]
        tried = table.get("candidates")
        if not self.searches and (not isinstance(tried, list) or not tried or not all(_is(s, dict) for s in tried)):
            raise ConfigError(f"[tune] candidates is a list of tables such as [{{ margin = 2.0 }}]; found {tried!r}")
        if tried and len(tried) > MOST:
            raise ConfigError(f"a search has 1 to {MOST} candidates; found {len(tried)}")
        if not isinstance(table.get("set", {}), dict):
            raise ConfigError(f"[tune] set is a table of what all candidates share; found {table['set']!r}")
        for key in ("prune_at", "keep", "trials"):
            if not _is(table.get(key, 1), int) or table.get(key, 1) < 1:
                raise ConfigError(f"[tune] {key} is a whole number from 1; found {table[key]!r}")
        for request in self.requests()[-1:]:
            if self.searches:
                chosen(
                    replace(request, settings=table.get("set", {})), self.space(), sampler=table.get("sampler", "tpe")
                )
            for settings in () if self.searches else self.candidates():
                configured(replace(request, settings=settings))

    def space(self) -> str | Mapping[str, Any]:
        """What ``tune`` searches; the path of a file is relative to this one."""
        space = self.stages["tune"]["space"]
        if not _is(space, str, dict):
            raise ConfigError(f"[tune] space is a name, a .toml file or a table of settings; found {space!r}")
        return str(located(self.path.parent, space)) if isinstance(space, str) and space.endswith(".toml") else space

    def candidates(self) -> list[dict[str, Any]]:
        """What ``tune`` tries: its ``set``, and each candidate over it."""
        table = self.stages["tune"]
        return [{**table.get("set", {}), **settings} for settings in table["candidates"]]

    def requests(self) -> list[TrainRequest]:
        """What the train tables ask for; raises `ConfigError` on a key that `hyperllm train` does not have."""
        return [request for table in self.tables() for request in table]

    def tables(self) -> list[list[TrainRequest]]:
        """The same, table by table."""
        entries = self.stages.get("train", [])
        return [self._requests(table) for table in (entries if isinstance(entries, list) else [entries])]

    def _requests(self, table: Mapping[str, Any]) -> list[TrainRequest]:
        """One a seed: with ``seeds``, runs are named NAME-SEED, also the one that ``phase1 = "run:NAME"`` means."""
        values = dict(table)
        seeds = values.pop("seeds", None)
        if seeds is None:
            return [self._request(values)]
        numbers = isinstance(seeds, list) and seeds and all(_is(seed, int) for seed in seeds)
        if not numbers or len(set(seeds)) < len(seeds) or not isinstance(values.get("run"), str) or "seed" in values:
            raise ConfigError(
                "[train] seeds is a list of different whole numbers, beside run, the name they share, and without seed"
            )
        numbered = ["run"] + ["phase1"] * str(values.get("phase1", "")).startswith("run:")
        return [
            self._request({**values, "seed": seed, **{key: f"{values[key]}-{seed}" for key in numbered}})
            for seed in seeds
        ]

    def _request(self, table: Mapping[str, Any]) -> TrainRequest:
        known = set(TrainRequest.__dataclass_fields__) | {"set", "seeds"}
        _check_keys(table, known, where="[train]")
        values = dict(table)
        kinds = dict.fromkeys(known, str) | dict.fromkeys(("settings", "set"), dict)
        kinds |= {"seed": int, "compat": bool, "resume": bool}
        told = {str: "text", dict: "a table", int: "a whole number", bool: "true or false"}
        for name, value in values.items():
            if not _is(value, kinds[name]):
                raise ConfigError(f"[train] {name} must be {told[kinds[name]]}; found {value!r}")
        values["settings"] = {**values.pop("settings", {}), **values.pop("set", {})}
        if (start := values.get("phase1")) is not None:
            values["phase1"] = Path(start) if start.startswith("run:") else located(self.path.parent, start)
        return TrainRequest(**values)


def _is(value: Any, *kinds: type) -> bool:
    """Whether a value of the file is of one of these kinds; true is no number."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def search(
    recipe: Recipe,
    *,
    workspace: Path,
    say: Say,
    progress: Progress | None = None,
    count: Count | None = None,
    pool: Pool | None = None,
) -> list[Trial]:
    """Try the candidates, or search the space, of the file's ``tune`` table in its last train table; best trial first.

    The stages before that, and the train tables before the last, are done first, here; trials train in ``pool``. What
    was tried is kept in the file's record.
    """
    if "tune" not in recipe.stages or not recipe.requests():
        raise ConfigError(f"{str(recipe.path)!r} has no [tune] with candidates, or no [train] to try them in")
    _before(workspace, recipe, say, count)
    *earlier, (target, *_) = recipe.tables()
    for request, *_ in earlier:
        train(workspace, request, progress=progress)
    table = {key: value for key, value in recipe.stages["tune"].items() if key not in ("candidates", "set", "space")}
    heard: dict[str, Any] = {"progress": progress, "on_trial": lambda t: say(f"{t.score:.4f} {t.ended} {t.settings}")}
    heard["pool"] = pool
    if recipe.searches:
        from hyperllm.experiments.search import search as search_space  # Optuna, which is an extra

        shared = replace(target, settings=recipe.stages["tune"].get("set", {}))
        found = search_space(workspace, shared, recipe.space(), **table, **heard)
        say(found.text())
        trials = list(found.trials)
    else:
        trials = tune(workspace, replace(target, settings={}), recipe.candidates(), **table, **heard)
    if recipe.record is not None:
        record.keep_trials(recipe.record, trials)
    return trials


def run(
    recipe: Recipe,
    *,
    workspace: Path | None = None,
    say: Say,
    progress: Progress | None = None,
    count: Count | None = None,
) -> None:
    """Run the stages in order; finished ones are found done. ``count`` hears of extraction and embedding."""
    place = workspace or recipe.workspace
    if place is None:
        raise ConfigError(f'{str(recipe.path)!r} names no workspace; add workspace = "DIR", or give --workspace DIR')
    _before(place, recipe, say, count)
    names: list[str] = []
    for request in recipe.requests():
        done = train(place, request, progress=progress)
        if done.aside is not None:
            say(f"the earlier run {done.name!r} had other settings and is kept as {done.aside!r}")
        say(f"{done.name}: {'found done' if done.skipped else 'trained'} -> {done.folder}")
        names.append(done.name)
    _after(place, recipe, names, say)


def _before(place: Path, recipe: Recipe, say: Say, count: Count | None) -> None:
    stages = recipe.stages
    if "prepare" in stages:
        say(_prepare(place, stages["prepare"], recipe.path.parent).text())
    if "extract" in stages:
        done = extract(place, _extract_config(stages["extract"], recipe.path.parent), progress=count)
        say(done.text())
        if done.stopped is not None or done.unanswered:
            why = done.stopped or f"{done.unanswered:,} questions got no answer"
            raise ProviderUnavailable(f"the extraction is unfinished, so no later stage was begun: {why}")
    if "embed" in stages:
        say(_call(embed, place, embed_options(stages["embed"]), progress=count).text())


def _after(place: Path, recipe: Recipe, names: list[str], say: Say) -> None:
    stages, command = recipe.stages, f"hyperllm run {recipe.path}"
    if "evaluate" in stages:
        options = dict(stages["evaluate"])
        for name in options.pop("runs", names):
            result = _call(evaluate_run, place, options, name, command=command).evaluation
            if recipe.record is not None:
                record.keep_run(recipe.record, Workspace.opened(place).run(name), result, recipe.published)
            say(f"{name} {result.part}: " + " ".join(f"{k} {v:.4f}" for k, v in result.metrics.items()))
            shared = [k for k in recipe.published if k in result.metrics]
            if shared and result.part == "test":
                gaps = (
                    f"{k} {recipe.published[k]:.4f} ({result.metrics[k] - recipe.published[k]:+.4f})" for k in shared
                )
                say(f"published (ours minus it): {' '.join(gaps)}")
    if "compare" in stages:
        options = dict(stages["compare"])
        result = _call(compare_runs, place, options, options.pop("runs", names), command=command)
        say(tables.text(result))
    if "recommend" in stages:
        options = stages["recommend"]
        out = located(recipe.path.parent, options.get("out", "recommendations.parquet"))
        run_name = options.get("run", names[-1] if names else "hyperllm")
        model = Recommender.load(Workspace.opened(place).run(run_name) / "model")
        model.recommend_all(out, int(options.get("k", 20)))
        say(f"recommendations for {len(model.users):,} users -> {out}")


def _prepare(place: Path, table: Mapping[str, Any], base: Path) -> Any:
    options = dict(table)
    config_keys = set(PrepareConfig.__dataclass_fields__)
    config = PrepareConfig(**{k: options.pop(k) for k in list(options) if k in config_keys})
    limit = options.pop("memory_limit", None)
    if "published" in options:
        request = PublishedRequest(located(base, options.pop("published")))
        _check_keys(options, {"published", "memory_limit"}, where="[prepare]")
    elif "amazon" in options:
        request = AmazonRequest(*(located(base, path) for path in options.pop("amazon")))
        _check_keys(options, {"amazon", "memory_limit"}, where="[prepare]")
    else:
        known = {field.name for field in fields(TableRequest)}
        _check_keys(options, {*known, "memory_limit"}, where="[prepare]")
        if "interactions" not in options:
            raise ConfigError("[prepare] needs one of interactions, amazon, published")
        for name in ("interactions", "items"):
            if name in options:
                options[name] = located(base, options[name])
        request = TableRequest(**options)
    if limit is not None:
        return prepare_within(place, request, limit=str(limit), config=config)
    return prepare(place, request.read(), config=config, source=request.kind)


def _extract_config(table: Mapping[str, Any], base: Path) -> ExtractConfig:
    """The settings of a table, a file that its model needs looked for beside the recipe."""
    kind, colon, name = str(table.get("llm", "")).partition(":")
    if kind not in ("gguf", "scripted") or not colon:
        return extract_config(table)
    return extract_config({**table, "llm": f"{kind}:{located(base, name)}"})


def located(base: Path, name: str) -> Path:
    """A path of the file, its environment variables filled in, relative to ``base``."""
    filled = os.path.expandvars(name)
    if "$" in filled:
        raise ConfigError(f"the path {name!r} names an environment variable that is not set")
    return base / filled


def _call(stage: Callable[..., Any], place: Path, table: Mapping[str, Any], *more: Any, **given: Any) -> Any:
    return stage(place, *more, **table, **given)


def _options(stage: Callable[..., Any]) -> set[str]:
    """What a file may say of a stage."""
    return set(inspect.signature(stage).parameters) - {"workspace", "progress", "run", "runs", "command", "encoding"}


def _check_keys(table: Mapping[str, Any], known: Any, *, where: str) -> None:
    for key in table:
        if key not in known:
            choices = ", ".join(sorted(known))
            raise ConfigError(f"{where}: unknown key {key!r}; it has {choices}.{did_you_mean(key, known)}")
