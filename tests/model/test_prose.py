"""The card for people says the bad as loudly as the good."""

from __future__ import annotations

from typing import Any

from tradebot.model.prose import markdown

Card = dict[str, Any]


def test_has_a_section_for_everything(card: Card) -> None:
    text = markdown(card)
    for title in ("Figures, out of time", "Trades", "Calibration", "What it looks at", "How it was made"):
        assert f"\n## {title}\n" in text
    assert f"| AUC | {card['folds'][0]['figures']['auc']:.3f} |" in text
    assert "made-up prices" in text
    assert "no signal 700" in text
    assert card["threshold"]["why"] in text


def test_begins_with_the_verdict(card: Card) -> None:
    assert "It beats the base rate" in markdown(card).splitlines()[2]
    poor = {**card, "doubts": ["it does not beat the base rate: so much", "none is profitable"]}
    assert "**It should not trade:**\n\n- it does not beat the base rate: so much\n- none is" in markdown(poor)


def test_tables_have_as_many_cells_in_every_row(card: Card) -> None:
    rows = [line for line in markdown(card).splitlines() if line.startswith("|")]
    tables = "\n".join(line if line.startswith("|") else "" for line in markdown(card).splitlines()).split("\n\n")
    for table in filter(str.strip, tables):
        assert len({row.count("|") for row in table.strip().splitlines()}) == 1
    assert len(rows) > 30


def test_a_model_without_test_part_and_shuffles_has_a_card_too(card: Card) -> None:
    bare = {
        **card,
        "test": None,
        "threshold": {**card["threshold"], "test": None},
        "shuffled": {"aucs": [], "gains": [], "mean_auc": None, "error": None},
    }
    assert "test part" not in markdown(bare)
    assert "shuffled" not in markdown(bare)
