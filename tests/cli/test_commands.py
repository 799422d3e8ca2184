"""Each command on a small workspace: what it prints, what it leaves, and that it is not done twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import TINY, Command

from hyperllm.artifacts import fingerprint, read
from hyperllm.cli import main
from hyperllm.data.split import Split
from hyperllm.evaluation.ledger import recorded
from hyperllm.serving.recommender import Recommender


def _users(work: Path, count: int) -> list[str]:
    return list(Split.load(work / "split").users.ids[:count])


def test_prepare_prints_counts_and_what_each_filter_dropped(hyperllm: Command, raw: Path, tmp_path: Path) -> None:
    words = ("prepare", tmp_path / "w", "--interactions", raw / "clicks.csv", "--items", raw / "items.csv")
    ended = hyperllm(*words)
    assert ended.code == 0
    for told in ("users", "items", "density", "rating >= 4", "5-core", "train / valid / test"):
        assert told in ended.out
    assert "nothing to do" in hyperllm(*words).out


def test_cold_items_are_prepared_and_ranked_among_themselves(hyperllm: Command, raw: Path, tmp_path: Path) -> None:
    work = tmp_path / "w"
    prepare = ("prepare", work, "--interactions", raw / "clicks.csv", "--items", raw / "items.csv", "--core", "3")
    assert "cold items: " in hyperllm(*prepare, "--cold-items", "0.1").out
    hyperllm("train", work, "--baseline", "popularity")
    document = hyperllm("evaluate", work, "popularity", "--candidates", "cold", "--json").document
    assert document["candidates"] == "cold"
    assert document["users"] == len(set(Split.load(work / "split").test.user))
    assert recorded(work)[-1]["candidates"] == "cold"
    assert "cold items alone" in hyperllm("evaluate", work, "popularity", "--candidates", "cold").out
    assert "candidates" not in hyperllm("evaluate", work, "popularity", "--json").document


def test_a_published_split_takes_cold_items_and_their_seed(hyperllm: Command, tmp_path: Path) -> None:
    pairs = [(user, item) for user in range(4) for item in range(5)]
    for name, part in (("train", pairs[::2]), ("valid", pairs[1::4]), ("test", pairs[3::4])):
        (tmp_path / f"{name}.tsv").write_text("user_id\titem_id\n" + "".join(f"{u}\t{i}\n" for u, i in part))
    (tmp_path / "items.tsv").write_text("item_id\ttitle\n" + "".join(f"{i}\tthing\n" for i in range(5)))
    words = ("prepare", tmp_path / "w", "--published", tmp_path)
    assert "--seed has no use beside --published" in hyperllm(*words, "--seed", "1").err
    assert "cold items: 2" in hyperllm(*words, "--cold-items", "0.4", "--seed", "1").out
    assert "from 0 to below 1" in hyperllm(*words, "--cold-items", "1").err


def test_content_reads_the_text_vectors_that_are_named_and_tags_where_they_weigh(hyperllm: Command, work: Path) -> None:
    train = ("train", work, "--baseline", "content")
    assert hyperllm(*train, "--semantics", "hash", "--json").document["semantics"] == "hash"
    inputs = {"split": "split", "semantics": "semantics/hash", "tags": "tags/keywords"}
    told = {name: fingerprint(work / path) for name, path in inputs.items()}
    made = read(work / "runs" / "content", "run")
    assert (made.inputs, made.config["tag_weight"]) == ({name: told[name] for name in ("split", "semantics")}, 0.0)
    assert "already trained" in hyperllm(*train).out
    tagged = hyperllm(*train, "--tags", "keywords", "--set", "tag_weight=0.5", "--run", "tagged", "--json").document
    assert (tagged["tags"], tagged["semantics"]) == ("keywords", "hash")
    assert read(work / "runs" / "tagged", "run").inputs == told
    assert hyperllm("evaluate", work, "tagged").code == 0


def test_stages_are_found_done(hyperllm: Command, finished: Path) -> None:
    assert "found done" in hyperllm("extract", finished).out
    assert "found done" in hyperllm("embed", finished, "--encoder", "hash").out
    assert "already trained" in hyperllm("train", finished, "--framework", "base", *TINY).out


def test_train_tells_its_phases(hyperllm: Command, work: Path) -> None:
    ended = hyperllm("train", work, *TINY, "--set", "meta_epochs=1", "--run", "again", "--json")
    assert set(ended.document["phases"]) == {"phase 1", "phase 2"}
    assert ended.document["skipped"] is False
    assert ended.document["tags"] == "keywords"
    assert ended.document["semantics"] == "hash"


@pytest.mark.parametrize("variant", ["structural", "semantic", "only-semantic", "no-meta", "no-contrast"])
def test_every_variant_trains(hyperllm: Command, work: Path, variant: str) -> None:
    tiny = ("--set", "epochs=1", "--set", "dim=4", "--set", "batch_size=1024", "--set", "meta_epochs=1")
    ended = hyperllm("train", work, "--variant", variant, *tiny)
    assert ended.code == 0, ended.err
    assert (work / "runs" / f"hyperllm-{variant}" / "model").is_dir()


def test_evaluate_json_has_what_the_contract_names(hyperllm: Command, work: Path) -> None:
    document = hyperllm("evaluate", work, "base", "--json").document
    assert {"run": "base", "part": "test", "mask": "train"}.items() <= document.items()
    assert {"recall@10", "recall@20", "ndcg@10", "ndcg@20"} <= set(document["metrics"])
    assert document["users"] == len(set(Split.load(work / "split").test.user))
    assert {"coverage@10", "gini@10", "novelty@20", "arp@20", "popularity_lift@20", "diversity@20"} <= set(
        document["beyond"]
    )


def test_evaluate_shows_what_lies_beyond_accuracy(hyperllm: Command, work: Path) -> None:
    text = hyperllm("evaluate", work, "popularity", "--k", "1,5").out
    table = text.split("beyond accuracy")[1]
    assert all(name in table for name in ("coverage", "novelty", "popularity_lift", "diversity"))
    assert "recall" not in table


def test_evaluate_records_each_look_at_the_test_part_and_none_at_validation(hyperllm: Command, work: Path) -> None:
    before = len(recorded(work))
    hyperllm("evaluate", work, "base", "--part", "valid")
    assert len(recorded(work)) == before
    hyperllm("evaluate", work, "base")
    assert len(recorded(work)) == before + 1


def test_evaluate_groups_and_cutoffs(hyperllm: Command, work: Path) -> None:
    document = hyperllm(
        "evaluate", work, "base", "--k", "3,7", "--groups", "4", "--mask", "train+valid", "--json"
    ).document
    assert len(document["groups"]) == 4
    assert sum(group["users"] for group in document["groups"]) == document["users"]
    assert {"recall@3", "recall@7"} <= set(document["metrics"])


def test_compare_as_text_and_latex(hyperllm: Command, work: Path) -> None:
    text = hyperllm("compare", work, "hyperllm", "base", "popularity").out
    assert "95 % interval" in text
    assert text.count("popularity") >= 4
    assert r"\begin{tabular}" in hyperllm("compare", work, "hyperllm", "base", "--latex").out


def test_compare_seeds_as_one_run(hyperllm: Command, work: Path) -> None:
    hyperllm("train", work, "--framework", "base", *TINY, "--seed", 1, "--run", "base-1")
    command = ("compare", work, "hyperllm", "base,base-1")
    assert "seeds (base 2)" in hyperllm(*command).out
    cells = hyperllm(*command, "--k", "5", "--json").document
    told = [(cell["run"], cell["metric"], cell["seeds"]) for cell in cells]
    assert told == [(run, f"{name}@5", n) for run, n in (("hyperllm", 1), ("base", 2)) for name in ("recall", "ndcg")]
    assert [cell["std"] is None for cell in cells] == [True, True, False, False]


def test_recommend_some_users(hyperllm: Command, finished: Path) -> None:
    first, second = _users(finished, 2)
    rows = hyperllm("recommend", finished, "hyperllm", "--users", f"{first}, {second}", "--k", "4", "--json").document
    assert [(row["user_id"], row["rank"]) for row in rows] == [(u, r) for u in (first, second) for r in (1, 2, 3, 4)]
    assert all("reasons" not in row for row in rows)
    told = hyperllm("recommend", finished, "hyperllm", "--users", first, "--k", "2", "--explain", "--json").document
    assert all(row["reasons"]["nearest"] for row in told)


def test_recommend_all_users_to_a_file(hyperllm: Command, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    assert hyperllm("recommend", finished, "base", "--all", "--out", out, "--k", "3").code == 0
    assert len(pl.read_parquet(out)) == 3 * len(Split.load(finished / "split").users)


def test_lists_are_filtered_and_ordered(hyperllm: Command, finished: Path) -> None:
    (user,) = _users(finished, 1)
    items = Split.load(finished / "split").items.ids
    words = ("recommend", finished, "hyperllm", "--users", user, "--k", "3", "--json")
    only = hyperllm(*words, "--only", ",".join(items[:2]), "--seen").document
    assert {row["item_id"] for row in only} == set(items[:2])
    assert items[0] not in {row["item_id"] for row in hyperllm(*words, "--exclude", items[0], "--seen").document}
    assert hyperllm(*words, "--diversity", "0.5", "--breadth", "-0.5", "--by", "level").code == 0
    wrong = hyperllm(*words, "--categories", "no such shelf")
    assert (wrong.code, "no item is in a category" in wrong.err) == (2, True)


def test_explain_names_the_history_that_counts(hyperllm: Command, finished: Path) -> None:
    (user,) = _users(finished, 1)
    (best,) = hyperllm("recommend", finished, "hyperllm", "--users", user, "--k", "1", "--json").document
    words = ("explain", finished, "hyperllm", "--user", user, "--item", best["item_id"])
    told = hyperllm(*words, "--json").document
    assert told["reasons"]["parts"]["distance"] == pytest.approx(-best["score"], rel=1e-5)
    assert all(near["effect"] > 0 for near in told["reasons"]["nearest"])
    text = hyperllm(*words).out
    assert "score " in text
    assert all(near["item_id"] in text for near in told["reasons"]["nearest"])


def test_a_guest_is_folded_in(hyperllm: Command, finished: Path) -> None:
    items = Split.load(finished / "split").items.ids[:3]
    rows = hyperllm("fold-in", finished, "hyperllm", "--items", ",".join(items), "--k", "4", "--json").document
    assert [(row["user_id"], row["rank"]) for row in rows] == [("guest", n) for n in (1, 2, 3, 4)]
    assert not {row["item_id"] for row in rows} & set(items)
    assert hyperllm("fold-in", finished, "hyperllm", "--items", "nothing").code == 2
    table = finished.parent / "guests.csv"
    table.write_text(f"user_id,item_id\na,{items[0]}\nb,{items[1]}\n")
    rows = hyperllm("fold-in", finished, "hyperllm", "--from", table, "--k", "2", "--json").document
    assert [row["user_id"] for row in rows] == ["a", "a", "b", "b"]
    assert hyperllm("fold-in", finished, "hyperllm").code == 2


def test_new_items_are_added_once_and_found(hyperllm: Command, work: Path, tmp_path: Path) -> None:
    known = pl.read_parquet(work / "dataset" / "items.parquet").row(0, named=True)
    path = " > ".join(known["categories"])
    table = tmp_path / "new.csv"
    pl.DataFrame({"item_id": ["new"], "title": [known["title"]], "categories": [path]}).write_csv(table)
    done = hyperllm("add-items", work, "hyperllm", table)
    assert done.code == 0, done.err
    assert "1 items placed" in done.out
    again = hyperllm("add-items", work, "hyperllm", table, "--json").document
    assert (again["placed"], again["known"]) == ([], ["new"])
    near = hyperllm("similar", work, "hyperllm", "--items", "new", "--k", "3", "--json").document
    assert known["item_id"] in {row["item_id"] for row in near}
    assert hyperllm("evaluate", work, "hyperllm", "--part", "valid").code == 0
    assert "1 items taken out: new" in hyperllm("remove-items", work, "hyperllm", "--items", "new,i0001").out
    assert hyperllm("similar", work, "hyperllm", "--items", "new").code == 2
    table.write_text("item_id,title\nodd,\n")
    lost = hyperllm("add-items", work, "hyperllm", table)
    assert (lost.code, "nothing known is like 'odd'" in lost.err) == (1, True)


def test_new_items_may_be_described_by_a_language_model(hyperllm: Command, work: Path, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("item_id,title\nnew,Wooden train set\n")
    done = hyperllm("add-items", work, "hyperllm", table, "--llm", "scripted")
    assert done.code == 0, done.err
    assert "1 items placed" in done.out


def test_new_users_are_folded_in_where_they_are_measured(hyperllm: Command, raw: Path, tmp_path: Path) -> None:
    place = tmp_path / "new-users"
    words = ("prepare", place, "--interactions", raw / "clicks.csv", "--items", raw / "items.csv", "--core", 3)
    assert "new users: 2" in hyperllm(*words, "--new-users", "0.1").out
    hyperllm("train", place, "--framework", "base", *TINY)
    document = hyperllm("evaluate", place, "base", "--json").document
    assert document["users"] == len(set(Split.load(place / "split").test.user))
    assert hyperllm(*words, "--new-users", "0.1", "--cold-items", "0.1").code == 2


def test_an_index_is_built_and_used(hyperllm: Command, work: Path) -> None:
    pytest.importorskip("usearch", reason="the extra ann is not installed")
    (user,) = _users(work, 1)
    words = ("recommend", work, "hyperllm", "--users", user, "--k", "5", "--json")
    missing = hyperllm(*words, "--approximate")
    assert (missing.code, "index" in missing.err) == (1, True)
    assert hyperllm("index", work, "hyperllm").code == 0
    assert hyperllm(*words, "--approximate").document == hyperllm(*words).document
    assert hyperllm("doctor", work).code == 0


def test_vectors_are_exported_for_a_database(hyperllm: Command, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "items.parquet"
    assert hyperllm("export", finished, "hyperllm", out, "--vectors", "dot").code == 0
    frame = pl.read_parquet(out)
    assert frame["item_id"].to_list() == list(Split.load(finished / "split").items.ids)
    assert hyperllm("export", finished, "hyperllm", out, "--vectors", "cosine").code == 2


def test_similar_leaves_the_item_itself_out(hyperllm: Command, finished: Path) -> None:
    item = Split.load(finished / "split").items.ids[0]
    rows = hyperllm("similar", finished, "hyperllm", "--items", item, "--k", "5", "--json").document
    assert len(rows) == 5
    assert item not in [row["item_id"] for row in rows]


def test_export_is_a_model_that_recommends_the_same(hyperllm: Command, finished: Path, tmp_path: Path) -> None:
    assert hyperllm("export", finished, "hyperllm", tmp_path / "out").code == 0
    user = _users(finished, 1)
    theirs = Recommender.load(finished / "runs" / "hyperllm").recommend(user, 5)
    assert Recommender.load(tmp_path / "out").recommend(user, 5).documents() == theirs.documents()


def test_data_list_names_the_sets(hyperllm: Command) -> None:
    ended = hyperllm("data", "list")
    assert ended.code == 0
    assert "movielens" in ended.out.lower()


def test_tune_prints_a_table_of_trials_the_chosen_one_first(hyperllm: Command, raw: Path, tmp_path: Path) -> None:
    file = tmp_path / "cell.toml"
    file.write_text(f"""
[prepare]
interactions = "{raw / "clicks.csv"}"
[tune]
prune_at = 1
candidates = [{{ dim = 4, epochs = 2 }}, {{ dim = 2, epochs = 2 }}]
[train]
framework = "base"
""")
    ended = hyperllm("tune", tmp_path / "w", file)
    assert ended.code == 0, ended.err
    told = [line for line in ended.out.splitlines() if "dim = " in line]
    assert told.pop().startswith(f"for [train] in {file}: set = {{ dim = ")
    assert ["epochs  " in told[0], "pruned" in told[1]] == [True, True]
    assert (tmp_path / "w" / "runs" / "base" / "model").is_dir()
    assert hyperllm("tune", tmp_path / "w", tmp_path / "none.toml").code == 2


def test_tune_searches_a_space_and_goes_on_after_an_interruption(
    hyperllm: Command, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = shutil.copytree(finished, tmp_path / "work")
    space = tmp_path / "space.toml"
    space.write_text("margin = [1.0]\nlearning_rate = [0.001, 0.01, 0.1]\n")
    asked = ("--framework", "base", "--space", space, "--run", "best", *TINY, "--set", "optimizer=adam")
    words = ("tune", work, *asked)
    with monkeypatch.context() as patch:
        patch.setattr("hyperllm.experiments.search._importances", _interrupted)
        assert hyperllm(*words, "--trials", "2").code == 130
    ended = hyperllm(*words, "--trials", "2")
    assert ended.code == 0, ended.err
    assert ended.out.count("epochs  ") == 2
    assert "importance of settings: learning_rate 1.00, margin 0.00; pictures: " in ended.out
    assert 'best: set = { epochs = 2, dim = 8, batch_size = 512, optimizer = "adam", margin = 1.0, ' in ended.out
    assert "epochs {" not in ended.err, "trials were trained again"
    found = hyperllm(*words, "--json").document
    assert [len(found["trials"]), found["run"], found["settings"]["dim"]] == [3, "best", 8]
    assert hyperllm("evaluate", work, "best").code == 0


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_tune_takes_a_file_or_options(hyperllm: Command, finished: Path, tmp_path: Path) -> None:
    ended = hyperllm("tune", finished, tmp_path / "cell.toml", "--trials", "3")
    assert ended.code == 2
    assert "give either the file or options" in ended.err
    ended = hyperllm("tune", finished, "--framework", "base", "--space", "papr")
    assert ended.code == 2
    assert "Did you mean 'paper'?" in ended.err


def test_run_does_all_stages_of_a_file(hyperllm: Command, raw: Path, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(
        f'[prepare]\ninteractions = "{raw}/clicks.csv"\nitems = "{raw}/items.csv"\ncore = 3\n'
        '[[train]]\nbaseline = "popularity"\n[evaluate]\n'
    )
    ended = hyperllm("run", file, "--workspace", tmp_path / "w")
    assert ended.code == 0, ended.err
    assert "popularity test: recall@10" in ended.out
    assert hyperllm("run", file).code == 2  # no workspace named


def test_doctor_ends_with_1_where_something_is_broken(hyperllm: Command, work: Path) -> None:
    assert hyperllm("doctor", work).code == 0
    (work / "dataset" / "items.parquet").write_bytes(b"")
    ended = hyperllm("doctor", work)
    assert ended.code == 1
    assert "corrupt" in ended.out
    assert hyperllm("doctor", work, "--json").document["healthy"] is False


def test_demo_prints_tables_suggestions_the_report_and_what_comes_next(
    hyperllm: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperllm.data.sources.planted import ShopConfig
    from hyperllm.experiments import demo as module

    settings = {name: {**given, "epochs": 1, "dim": 4} for name, given in module.SETTINGS.items()}
    monkeypatch.setattr(module, "SETTINGS", settings)
    monkeypatch.setattr(module, "ShopConfig", lambda seed: ShopConfig(users=200, items=120, clicks=12, seed=seed))
    out = tmp_path / "a shop"
    ended = hyperllm("demo", "--out", out, "--encoder", "hash", "--seed", "2")
    assert ended.code == 0, ended.err
    for told in ("hyperllm", "base", "ease", "popularity", "95 % interval", "suggestions for user", "report.html"):
        assert told in ended.out
    assert f"hyperllm recommend '{out}' hyperllm --users" in ended.out
    assert (out / "report.html").is_file()
    document = hyperllm("demo", "--out", out, "--encoder", "hash", "--seed", "2", "--json").document
    assert len(document["recommendations"]) == 5


def test_export_never_replaces_what_is_not_an_export(finished: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    for target, code in ((precious, 2), (finished / "split", 1), (finished, 2)):
        assert main(["export", str(finished), "popularity", str(target)]) == code
    assert (precious / "thesis.tex").read_text() == "years of work"
    Split.load(finished / "split")
