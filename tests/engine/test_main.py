"""`python -m medrival`: what there is to choose from."""

import pytest

from medrival.__main__ import main
from medrival.files import write_atomically
from medrival.store import Store


@pytest.mark.parametrize(
    ("axis", "named"),
    [("models", "pocket-medllava"), ("tasks", "vqa-rad-organ"), ("regimes", "linear-probe"), ("suites", "pocket")],
)
def test_each_axis_is_listed_by_name(capsys, axis, named):
    assert main([axis]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("name")
    assert any(line.split()[0] == named for line in lines[1:])


def test_rows_of_a_users_file_are_listed_too(capsys, tmp_path):
    (tmp_path / "my.toml").write_text('[tasks.mine]\nkind = "vqa"\nmodality = "ultrasound"\ndata = "my:load"\n')
    assert main(["tasks", "--catalog", str(tmp_path / "my.toml")]) == 0
    assert "mine" in capsys.readouterr().out


def test_a_model_that_saw_what_nothing_else_has_says_so(capsys, tmp_path):
    row = 'kind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nadapter = "x:y"\nweights = "x"\nsaw = ["ultrasond"]\n'
    (tmp_path / "my.toml").write_text(f"[models.mine]\n{row}")
    assert main(["models", "mine", "--catalog", str(tmp_path / "my.toml")]) == 0
    assert "mine: saw 'ultrasond', a modality of no task" in capsys.readouterr().out


def test_tasks_say_where_their_data_goes_and_a_gated_one_where_to_ask(tmp_path, capsys):
    row = 'kind = "vqa"\nmodality = "ultrasound"\ndata = "hub:org/name"\nplace = "org/name"\ntest_only = "a few"\n'
    row += "sizes = { test = 1234, all = 5678 }\n"
    (tmp_path / "my.toml").write_text(f'[tasks.mine]\n{row}gated = true\naccess = "https://example.org"\nlicence = "CC0 1.0"\n')
    assert main(["tasks", "--catalog", str(tmp_path / "my.toml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("mine "))
    assert lines[number].split() == ["mine", "vqa", "ultrasound", "-", "-", "1,234", "CC0", "1.0"]
    told = " ".join(" ".join(lines[number + 1 : number + 3]).split())
    assert told.startswith("5,678 in all; for tests alone: a few; in DIR/datasets/org/name; gated: ask at https://example.org")


def test_a_task_shows_everything_that_its_row_says(capsys):
    assert main(["tasks", "vqa-rad-organ"]) == 0
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()[1:]}
    assert said["classes"] == "HEAD = head, CHEST = chest, ABD = abdomen"
    assert said["licence"] == "CC0 1.0"


def test_a_broken_catalog_is_an_error_on_standard_error(capsys, tmp_path):
    assert main(["tasks", "--catalog", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_the_store_is_pruned_to_a_size(capsys, tmp_path):
    for name in ("a", "b"):
        write_atomically(tmp_path / "outcomes" / name, lambda stream: stream.write(bytes(2**20)))
    assert main(["prune", "--store", str(tmp_path), "--keep-gib", str(1.5 / 1024)]) == 0
    assert "1.0 MiB freed" in capsys.readouterr().out
    assert Store(tmp_path).prune(2**20) == 0


@pytest.mark.parametrize("size", ["-1", "nan", "inf", "much"])
def test_what_is_no_size_of_the_store_deletes_nothing(size, capsys, tmp_path):
    write_atomically(tmp_path / "outcomes" / "a", lambda stream: stream.write(b"kept"))
    with pytest.raises(SystemExit):
        main(["prune", "--store", str(tmp_path), f"--keep-gib={size}"])
    assert "--keep-gib" in capsys.readouterr().err
    assert (tmp_path / "outcomes" / "a").read_bytes() == b"kept"
