"""The project's papers: licence, citation, issue forms, and the CI files that users copy."""

import re
import shlex
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

import medrival
from medrival.commands import parser
from tests.docs.pages import ROOT

APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""Sha256 of the licence's text as the Apache Software Foundation publishes it."""
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def test_the_licence_is_apache_2_0_to_the_letter():
    assert sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert not any(one.startswith("License ::") for one in project["classifiers"]), "PEP 639: not beside an expression"


def test_the_citation_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", "Apache-2.0")
    assert citation["authors"] == [{"name": "The medrival authors"}]
    assert citation["version"] == medrival.__version__
    assert not {"doi", "url", "repository-code", "identifiers"} & citation.keys()


def test_the_changelog_and_the_page_that_names_a_wheel_know_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[.*{re.escape(medrival.__version__)}", text, re.MULTILINE)
    assert f"/medrival-{medrival.__version__}-py3-none-any.whl" in (ROOT / "docs" / "offline.md").read_text()


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_what_github_can_ask(form):
    content = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= content.keys()
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
    assert all(field["attributes"]["options"] for field in fields if field["type"] in ("dropdown", "checkboxes"))


def test_there_is_a_form_for_each_kind_of_issue():
    assert [form.stem for form in FORMS] == ["bug", "new-data-set", "new-model", "wrong-number"]


def github() -> tuple[dict, list[str]]:
    content = yaml.safe_load((ROOT / "examples" / "ci" / "github-actions.yml").read_text())
    lines = [step["run"] for job in content["jobs"].values() for step in job["steps"] if "run" in step]
    said = {name: re.sub(r"\$\{\{ vars\.\w+ \|\| '(.*)' \}\}", r"\1", str(value)) for name, value in content["env"].items()}
    said |= {"matrix.shard": "1", "strategy.job-total": str(len(content["jobs"]["measure"]["strategy"]["matrix"]["shard"]))}
    return said, lines


def gitlab() -> tuple[dict, list[str]]:
    content = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab-ci.yml").read_text())
    jobs = [content["default"], *(job for job in content.values() if isinstance(job, dict) and "script" in job)]
    lines = [line for job in jobs for key in ("before_script", "script", "after_script") for line in job.get(key, ())]
    return content["variables"] | {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": str(content["measure"]["parallel"])}, lines


@pytest.mark.parametrize("service", [github, gitlab])
def test_the_commands_of_a_ci_file_are_understood_and_its_shards_are_as_many_as_it_has_jobs(service):
    said, lines = service()
    ready = [re.sub(r"\$\{\{ ([\w.-]+) \}\}|\$(\w+)", lambda found: said[found[1] or found[2]], line) for line in lines]
    commands = [shlex.split(line) for line in ready]
    (study,) = (words for words in commands if words[:3] == ["python", "-m", "pytest"])
    assert study[study.index("--shard") + 1] == "1/2"
    assert {"--store=store", "--gate=examples/ci/gates.toml"} <= set(study)
    assert (ROOT / said["GATES"]).is_file()
    verbs = [parser().parse_args(words[3:]) for words in commands if words[:3] == ["python", "-m", "medrival"]]
    assert {verb.run.__module__.rpartition(".")[2] for verb in verbs} == {"merge", "prune"}
    (merged,) = (verb for verb in verbs if hasattr(verb, "shards"))
    assert merged.report_dir == Path("report")
