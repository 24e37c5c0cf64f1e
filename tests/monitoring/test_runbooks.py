"""Whoever is woken up finds a page for each alert, made alike, with links that lead somewhere."""

import re

import pytest

from tests.monitoring import shipped

SECTIONS = ["Impact", "First three things to look at", "How to fix", "How to tune"]


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert sorted(book.stem for book in shipped.RUNBOOKS.glob("*.md") if book.stem != "README") == shipped.alert_names()


@pytest.mark.parametrize("name", shipped.alert_names())
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    text = (shipped.RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    looks = text.partition(f"## {SECTIONS[1]}")[2].partition("## ")[0]
    assert re.findall(r"^(\d)\. ", looks, re.MULTILINE) == ["1", "2", "3"]
    assert len(re.findall(r"^ *```(?:promql|sql|logql|sh)$", looks, re.MULTILINE)) == len(SECTIONS) - 1
    for page in re.findall(r"\]\(([^)]+\.md)\)", text):
        assert (shipped.RUNBOOKS / page).exists(), page


@pytest.mark.parametrize("name", shipped.alert_names())
def test_the_numbers_to_tune_stand_in_the_rule(name: str) -> None:
    tune = (shipped.RUNBOOKS / f"{name}.md").read_text().partition("## How to tune\n")[2]
    [file] = [file for file in shipped.RULE_FILES if f"alert: {name}\n" in file.read_text()]
    if name == "Watchdog":
        assert "`alertmanager.yml`" in tune
    elif name != "ErrorBudgetBurnSlow":  # refers to its sister
        assert f"`{file.name}`" in tune
    told = " ".join(str(rule[key]) for rule in shipped.alerts() for key in ("expr", "for") if key in rule)
    for number in re.findall(r"`(?:> )?(\d[\d.e]*)`", tune):
        assert number in told, number
