"""The win map: who is the fastest where, what is left out, and the picture."""

import re

import pytest
from matplotlib.colors import to_rgba

from nlp_models import costs
from nlp_models.benchmark import feasibility, picture, report, win_map, works
from tests.benchmark_setup import fake_bench, sleeper, tiny

# The map.


def map_bench(tmp_path, **fields):
    config = tiny('win_map')
    config.win_map.update(rounds=3, seconds=0.0, **fields)
    return fake_bench(tmp_path, config)


def test_the_map_names_the_fastest_and_its_lead(tmp_path, monkeypatch):
    times = dict(scan=0.008, newton=0.03, quasi_newton=0.02, attention=0.004)
    times |= dict(min_scan=0.005, associative=0.002)

    def make(made, strategy, length, width):
        return works.Work(sleeper(times[strategy]), 1.0, 0.0, 1.0)

    monkeypatch.setattr(win_map, 'make', make)
    made = map_bench(tmp_path, lengths=(16,), widths=(8,))
    win_map.rows(made)
    (row,) = made.results.values['win_map']
    assert row['fastest'] == 'associative'
    assert row['ratio'] == pytest.approx(2.0, rel=0.4)
    assert row['fastest_gru'] == 'scan'
    assert row['ratio_gru'] == pytest.approx(2.5, rel=0.4)
    assert row['fastest_mingru'] == 'associative'
    assert row['ratio_mingru'] == pytest.approx(2.5, rel=0.4)
    assert row['seconds_per_token'] == pytest.approx(0.002 / 16, rel=0.4)
    assert row['infeasible'] == {}


def test_the_map_leaves_out_what_would_not_fit_or_end(tmp_path, monkeypatch):
    asked = []

    def make(made, strategy, length, width):
        asked.append((strategy, length))
        seconds = 0.05 if strategy == 'newton' else 0.001
        planned = 2e9 if strategy == 'attention' and length > 64 else 1.0
        return works.Work(sleeper(seconds), 1.0, 0.0, planned)

    monkeypatch.setattr(win_map, 'make', make)
    made = map_bench(tmp_path, lengths=(64, 256), widths=(8,), seconds_limit=0.1, bytes_limit=1e9)
    win_map.rows(made)
    short, long = made.results.values['win_map']
    assert short['infeasible'] == {}
    assert re.fullmatch(r'needs 0\.2\d* s', long['infeasible']['newton'])  # 4 × 0.05, not run
    assert ('newton', 256) not in asked
    assert long['infeasible']['attention'] == 'needs 2 GB'  # compiled, not run
    assert ('attention', 256) in asked
    assert long['seconds']['newton'] is None
    assert long['seconds']['scan'] is not None
    assert 'newton at T=256 D=8' in report.win_map([short, long])


def test_what_cannot_fit_is_known_by_formula(tmp_path):
    made = map_bench(tmp_path, lengths=(64,), widths=(8,))
    limits = made.config.win_map
    assert limits.bytes_limit == 8e9
    large = costs.Recurrence(1, 16384, 512, 512, gates=3, recurrent_gates=3)
    assert feasibility.recurrent(large, 'newton', 1e11, limits).endswith('GB')
    assert feasibility.recurrent(large, 'quasi_newton', 1e12, limits) == ''
    assert feasibility.recurrent(large, 'sequential', 1e6, limits).endswith(' s')
    assert feasibility.attention(1, 65536, 64, 1, True, limits).endswith('GB')
    assert feasibility.attention(1, 65536, 64, 1, False, limits) == ''


def test_the_picture_colours_each_point_by_its_winner():
    rows = []
    for width, length, winner in ((8, 64, 'scan'), (8, 256, 'attention'), (32, 64, 'newton')):
        seconds: dict[str, float | None] = dict.fromkeys(picture.STYLES, 2.0)
        seconds[winner], seconds['quasi_newton'] = 1.0, None
        rows.append(
            {
                'shape': {'T': length, 'D': width},
                'seconds': seconds,
                'fastest': winner,
                'ratio': 2.0,
                'seconds_per_token': 1.0 / length,
            }
        )
    figure = picture.draw(rows)
    main, *panels = figure.axes
    assert len(panels) == len(picture.STYLES)
    drawn = {}
    for box in main.patches:
        at = (box.get_x() + 0.5, box.get_y() + 0.5)  # pyright: ignore[reportAttributeAccessIssue]
        drawn[at] = box.get_facecolor()
    assert drawn == {
        (0, 0): to_rgba(picture.STYLES['scan'][0]),
        (1, 0): to_rgba(picture.STYLES['attention'][0]),
        (0, 1): to_rgba(picture.STYLES['newton'][0]),
    }
    quasi = panels[list(picture.STYLES).index('quasi_newton')]
    assert [text.get_text() for text in quasi.texts] == ['✕'] * 3
