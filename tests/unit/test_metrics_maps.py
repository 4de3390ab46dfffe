"""Free maps: planted answers, closed forms and the libraries' own, what must not matter, and what a map must not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.covariance import ShrunkCovariance
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from test_metrics import lexicon

from tli import metrics
from tli.errors import LexiconError
from tli.metrics import maps
from tli.metrics.map_choice import CURVE, MapRows, choose_map, fit_choice, map_curve
from tli.metrics.rotation import least_rotation
from tli.metrics.thin import thin

NAN = float("nan")
MIDDLE = {"centring": NAN, "top-components": 3, "whitening": 0.2, "procrustes": 10, "ridge": 0.1, "cca": 10}
PAIRED = [name for name, kind in maps.KINDS.items() if kind.paired]


def hits(source: np.ndarray, target: np.ndarray) -> float:
    """Cosine P@1 of row i for row i, on paper."""
    source, target = (np.asarray(x, float) / np.linalg.norm(x, axis=1, keepdims=True) for x in (source, target))
    return float(((source @ target.T).argmax(axis=1) == np.arange(len(source))).mean())


def rotation(d: int, rng) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def planted(n: int = 300, d: int = 40, noise: float = 0.3, seed: int = 0, turn: bool = True):
    """Source and target [n, d], the target the source under a rotation, with noise; the first 200 rows are for fitting."""
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(n, d)) * np.linspace(2, 0.5, d)
    target = source @ rotation(d, rng) if turn else source.copy()
    return source, target + noise * rng.normal(size=(n, d))


def held_out(name: str, hyperparameter: float, source, target, fitted: int = 200) -> float:
    mapping = maps.fit(name, source[:fitted], target[:fitted], hyperparameter)
    return hits(*mapping.apply(source[fitted:], target[fitted:]))


# --- planted answers ------------------------------------------------------------------------------------------------


def test_procrustes_recovers_a_planted_rotation_and_whitening_does_not():
    source, target = planted()
    assert hits(source[200:], target[200:]) < 0.1
    assert held_out("procrustes", 40, source, target) == 1.0
    assert held_out("ridge", 0.1, source, target) == 1.0 and held_out("cca", 40, source, target) == 1.0
    for name in ("centring", "top-components", "whitening"):
        assert max(held_out(name, value, source, target) for value in maps.KINDS[name].grid(200, 40)) < 0.1


def test_centring_takes_a_planted_offset_off():
    source, target = planted(turn=False, noise=0.7)
    rng = np.random.default_rng(1)
    source, target = source + 10 * rng.normal(size=40), target + 10 * rng.normal(size=40)
    assert hits(source[200:], target[200:]) < 0.3
    assert held_out("centring", NAN, source, target) > 0.95


def test_all_but_the_top_takes_two_rogue_dimensions_off():
    source, target = planted(turn=False, noise=0.5)
    rng = np.random.default_rng(1)
    source[:, :2], target[:, :2] = (60 * rng.normal(size=(300, 2)) for _ in range(2))
    raw, centred = hits(source[200:], target[200:]), held_out("centring", NAN, source, target)
    assert raw < 0.7 and centred < 0.7
    shares = [held_out("top-components", number, source, target) for number in (1, 2, 13)]
    assert shares[1] > 0.95 and shares[1] >= max(shares)


def test_no_map_finds_a_warp_that_no_line_follows():
    source, _ = planted(n=300)
    rng = np.random.default_rng(2)
    target = np.cos(3 * source @ rng.normal(size=(40, 40))) + 0.05 * rng.normal(size=(300, 40))
    for name, kind in maps.KINDS.items():
        assert max(held_out(name, value, source, target) for value in kind.grid(200, 40)) < 0.1, name


@pytest.mark.parametrize("name", PAIRED)
def test_shuffled_twins_are_at_chance(name):
    """Twenty seeds of 100 held-out words: hits of chance 1 / 100 lie in the binomial's 99.9 % interval."""
    from scipy.stats import binom

    total, deranged = 0, np.arange(200)
    for seed in range(20):
        source, target = planted(seed=seed)
        order = np.roll(deranged, 1 + np.random.default_rng(seed).integers(199))
        mapping = maps.fit(name, source[:200], target[:200][order], {"procrustes": 40, "ridge": 0.1, "cca": 20}[name])
        total += round(100 * hits(*mapping.apply(source[200:], target[200:])))
    low, high = binom.interval(0.999, 2000, 0.01)
    assert low <= total <= high


def test_two_pairs_are_enough_and_one_is_not():
    source, target = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])  # a quarter turn
    for name in ("centring", "procrustes"):
        made = maps.fit(name, source, target, MIDDLE[name])
        assert np.isfinite(made.source.apply(source)).all(), name
        with pytest.raises(ValueError, match="at least 2"):
            maps.fit(name, source[:1], target[:1], MIDDLE[name])


@pytest.mark.parametrize("twin", [False, True])
def test_fewer_pairs_than_dimensions_need_the_least_rotation(twin):
    """d 1024, n 190, near enough for raw retrieval: the library's rotation scrambles what no pair fixes."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(290, 1024))
    target = source + 2 * rng.normal(size=source.shape)
    fitted, rest = slice(190), slice(190, None)
    assert hits(source[rest], target[rest]) == 1.0
    order = np.roll(np.arange(190), 1) if twin else np.arange(190)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (source, target)]
    x, y = (one - one[fitted].mean(axis=0) for one in unit)
    turn = linalg.orthogonal_procrustes(x[fitted], y[fitted][order])[0]
    assert hits(x[rest] @ turn, y[rest]) < 0.1
    mapping = maps.fit("procrustes", source[fitted], target[fitted][order], 189)
    assert hits(*mapping.apply(source[rest], target[rest])) >= 0.99


def test_a_rotation_of_what_the_pairs_span_is_found_with_fewer_pairs_than_dimensions():
    """Most of the variance lies in 60 of 512 dimensions and is turned; the rest stays as it is."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(260, 512))
    source[:, :60] *= 8
    target = source.copy()
    target[:, :60] = source[:, :60] @ rotation(60, rng)
    target += 0.3 * rng.normal(size=source.shape)
    assert hits(source[160:], target[160:]) < 0.5
    best = max(held_out("procrustes", number, source, target, 160) for number in maps.KINDS["procrustes"].grid(160, 512))
    assert best >= 0.99


# --- closed forms and libraries -------------------------------------------------------------------------------------


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_procrustes_is_scipys_at_full_rank():
    source, target = planted()
    x, y = unit(source), unit(target)
    mean_x, mean_y = x[:200].mean(axis=0), y[:200].mean(axis=0)
    turn = linalg.orthogonal_procrustes(x[:200] - mean_x, y[:200] - mean_y)[0]
    images = maps.fit("procrustes", source[:200], target[:200], 40).apply(source, target)
    np.testing.assert_allclose(images[0], (x - mean_x) @ turn, atol=1e-6)
    np.testing.assert_allclose(images[1], y - mean_y, atol=1e-6)


@pytest.mark.parametrize("n", [30, 200])
def test_ridge_is_its_closed_form_and_scikit_learns(n):
    source, target = planted()
    x, y = unit(source), unit(target)
    a, b = x[:n] - x[:n].mean(axis=0), y[:n] - y[:n].mean(axis=0)
    penalty = 0.3 * (a**2).sum() / n
    closed = np.linalg.solve(a.T @ a + penalty * np.eye(40), a.T @ b)
    images = maps.fit("ridge", source[:n], target[:n], 0.3).apply(source, target)
    np.testing.assert_allclose(images[0], (x - x[:n].mean(axis=0)) @ closed, atol=1e-6)
    theirs = Ridge(alpha=penalty).fit(x[:n], y[:n]).predict(x)
    np.testing.assert_allclose(images[0], theirs - y[:n].mean(axis=0), atol=1e-6)


def test_cca_is_scikit_learns():
    source, target = planted(noise=1.0)
    x, y = unit(source), unit(target)
    reduced = [PCA(8).fit(side[:200]) for side in (x, y)]
    theirs = CCA(8, scale=False, max_iter=20_000, tol=1e-14).fit(reduced[0].transform(x[:200]), reduced[1].transform(y[:200]))
    expected = theirs.transform(reduced[0].transform(x), reduced[1].transform(y))
    images = maps.fit("cca", source[:200], target[:200], 8).apply(source, target)
    for ours, other in zip(images, expected, strict=True):
        for column in range(8):
            assert abs(np.corrcoef(ours[:, column], other[:, column])[0, 1]) > 1 - 1e-5, column
        np.testing.assert_allclose(ours[:200].std(axis=0), 1, rtol=1e-4)  # each variate weighs alike in the cosine
    with_signs = np.sign((images[0] * images[1])[:200].sum(axis=0))
    assert (with_signs > 0).all()  # the two languages' variates point the same way


@pytest.mark.parametrize("n", [25, 200])
def test_whitening_is_the_inverse_root_of_scikit_learns_covariance(n):
    source, target = planted()
    x = unit(source)
    covariance = ShrunkCovariance(shrinkage=0.2).fit(x[:n]).covariance_
    values, directions = np.linalg.eigh(covariance)
    expected = (x - x[:n].mean(axis=0)) @ (directions / np.sqrt(values)) @ directions.T
    image = maps.fit("whitening", source[:n], target[:n], 0.2).apply(source, target)[0]
    np.testing.assert_allclose(unit(image), unit(expected), atol=1e-5)


def test_top_components_are_scikit_learns():
    source, target = planted()
    x = unit(source)
    top = PCA(3).fit(x[:200])
    expected = x - top.mean_ - (x - top.mean_) @ top.components_.T @ top.components_
    np.testing.assert_allclose(maps.fit("top-components", source[:200], target[:200], 3).apply(source, target)[0], expected, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 12), st.integers(0, 10**6), st.data())
def test_the_least_rotation_is_orthogonal_keeps_its_promise_and_turns_least(d, seed, data):
    """Against the complements' own Procrustes rotation, with full bases of null space."""
    r = data.draw(st.integers(1, d))
    rng = np.random.default_rng(seed)
    p, q = (rotation(d, rng)[:, :r] for _ in range(2))
    if data.draw(st.booleans()):
        q[:, 0] = p[:, 0]  # a direction that both share
        q = np.linalg.qr(q)[0]
    left, right = least_rotation(p, q)
    turn = np.eye(d) + left @ right
    np.testing.assert_allclose(turn @ turn.T, np.eye(d), atol=1e-7)
    np.testing.assert_allclose(p.T @ turn, q.T, atol=1e-7)
    rest_p, rest_q = linalg.null_space(p.T), linalg.null_space(q.T)
    expected = p @ q.T
    if r < d:
        a, _, b = np.linalg.svd(rest_p.T @ rest_q)
        expected = expected + rest_p @ a @ b @ rest_q.T
    assert np.linalg.norm(turn - np.eye(d)) == pytest.approx(np.linalg.norm(expected - np.eye(d)), abs=1e-6)


# --- what must not matter -------------------------------------------------------------------------------------------


def cosines(images: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return unit(images[0].astype(float)) @ unit(images[1].astype(float)).T


@pytest.mark.parametrize("name", maps.KINDS)
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.floats(-3, 3), st.sampled_from([24, 60]))
def test_scale_order_and_dtype_do_not_matter(name, seed, scale, n):
    source, target = planted(n=n + 20, d=40, noise=1.0, seed=seed)
    expected = cosines(maps.fit(name, source[:n], target[:n], MIDDLE[name]).apply(source, target))
    rng = np.random.default_rng(seed)
    longer, order = rng.uniform(0.5, 2, (2, n + 20, 1)) * 10**scale, rng.permutation(n)
    scaled = [(x * size).astype(np.float32) for x, size in zip((source, target), longer, strict=True)]
    found = cosines(maps.fit(name, scaled[0][:n][order], scaled[1][:n][order], MIDDLE[name]).apply(*scaled))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_factors_in_another_order_are_those_of_the_rows_in_another_order():
    source, target = planted(n=60)
    order = np.random.default_rng(0).permutation(60)
    for name in PAIRED:
        once = maps.fit_thin(name, thin(source), thin(target).reordered(order), MIDDLE[name])
        again = maps.fit(name, source, target[order], MIDDLE[name])
        np.testing.assert_allclose(cosines(once.apply(source, target)), cosines(again.apply(source, target)), atol=1e-4)


@pytest.mark.parametrize("name", maps.KINDS)
def test_rows_that_do_not_vary_and_zero_rows_are_mapped_without_a_warning(name):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 30, 12))
    source[3], target[:] = 0, target[0]
    with np.errstate(all="raise"):
        images = maps.fit(name, source, target, MIDDLE[name]).apply(source, target)
    assert all(np.isfinite(image).all() for image in images)


def test_a_map_is_refused_with_a_reason():
    source, target = planted(n=30)
    with pytest.raises(ValueError, match=r"source has shape \(29, 40\), target \(30, 40\)"):
        maps.fit("ridge", source[1:], target, 1)
    with pytest.raises(ValueError, match="at least 2"):
        maps.fit("ridge", source[:1], target[:1], 1)
    source[4, 2] = np.nan
    with pytest.raises(ValueError, match="vector 4 .* not finite"):
        maps.fit("ridge", source, target, 1)


@pytest.mark.parametrize("name", ["centring", "procrustes", "ridge"])
def test_an_image_stands_among_the_targets_own_vectors(name):
    source, target = planted(turn=name != "centring", noise=0.1)
    target = 3 * unit(target)
    source = 3 * unit(source) * np.linspace(1, 4, 300)[:, None]
    mapping = maps.fit(name, source[:200], target[:200], {"centring": NAN, "procrustes": 40, "ridge": 0.01}[name])
    image = mapping.image(source[200:])
    assert hits(image, target[200:]) > 0.95
    if name == "procrustes":  # a rotation about the means keeps the length up to the means' own
        np.testing.assert_allclose(np.linalg.norm(image, axis=1), np.linalg.norm(source[200:], axis=1), rtol=0.1)


def test_a_map_that_moves_both_languages_has_no_image():
    source, target = planted(n=60)
    for name in ("top-components", "whitening", "cca"):
        with pytest.raises(ValueError, match="moves the target language too"):
            maps.fit(name, source, target, MIDDLE[name]).image(source)


# --- choosing -------------------------------------------------------------------------------------------------------


def world(n: int = 240, d: int = 24, states: int = 4, noise: float = 0.6):
    """A list whose state 2 is turned and little disturbed, the others turned and drowned: (candidates, rows, {state: vectors})."""
    pairs = lexicon([(f"s{i}", f"t{i}") for i in range(n)])
    made = {}
    for state in range(states):
        source, target = planted(n, d, noise if state == 2 else 4, seed=state)
        made[state] = metrics.Vectors(source.astype(np.float32), target.astype(np.float32))
    c = metrics.candidates(pairs)
    return c, MapRows(c, np.arange(120), np.arange(120, 180)), made


def test_the_curve_chooses_the_planted_state_and_its_value_is_that_of_the_judged_pairs():
    c, rows, states = world()
    curve = map_curve(states.items(), rows)
    assert list(curve.columns) == CURVE and set(curve["words"]) == {60}
    counts = {name: 4 * len(kind.grid(120, 24)) for name, kind in maps.KINDS.items()}
    assert curve["map"].value_counts().to_dict() == counts
    for name in PAIRED:
        choice = choose_map(curve, name)
        assert choice.hidden_state == 2 and choice.value > 0.9
        mapping = fit_choice(choice, states[2], rows)
        images = mapping.apply(states[2].source[120:180], states[2].target[120:180])
        alone = metrics.candidates(lexicon([(f"s{i}", f"t{i}") for i in range(60)]))
        found = metrics.evaluate(metrics.Vectors(*images), alone, np.repeat("select", 60))[1]["select"]["csls_p_at_1"]
        assert found == pytest.approx(choice.value)
        twin = fit_choice(choice, states[2], rows, order=np.roll(np.arange(120), 5))
        assert hits(*twin.apply(states[2].source[180:], states[2].target[180:])) < 0.15
    at_three = choose_map(curve, "ridge", hidden_state=3)
    assert at_three.hidden_state == 3 and at_three.value < 0.5
    with pytest.raises(ValueError, match=r"no ridge in the curve at hs\[9\]"):
        choose_map(curve, "ridge", hidden_state=9)


def test_ties_go_to_the_lower_state_and_to_the_simpler_map():
    rows = [
        ("ridge", 3, 10.0, 0.8, 50),
        ("ridge", 3, 1.0, 0.9, 50),
        ("ridge", 1, 10.0, 0.7, 50),
        ("ridge", 1, 3.0, 0.9, 50),
        ("ridge", 1, 0.3, 0.9, 50),
    ]
    choice = choose_map(pd.DataFrame(rows, columns=CURVE), "ridge")
    assert (choice.hidden_state, choice.hyperparameter) == (1, 3.0)


@pytest.mark.parametrize("cross_validated", [False, True])
def test_held_out_rows_of_noise_change_no_choice_and_no_map(cross_validated):
    c, rows, states = world(states=3)
    if cross_validated:
        rows = MapRows(c, np.arange(120))
    rng = np.random.default_rng(0)
    last = 120 if cross_validated else 180
    noisy = {}
    for state, vectors in states.items():
        source, target = vectors.source.copy(), vectors.target.copy()
        source[last:], target[last:] = rng.normal(0, 9, (2, 240 - last, 24))
        noisy[state] = metrics.Vectors(source, target)
    curves = map_curve(states.items(), rows), map_curve(noisy.items(), rows)
    pd.testing.assert_frame_equal(*curves, check_exact=True)
    for name in maps.KINDS:
        choice = choose_map(curves[0], name)
        fitted = [fit_choice(choice, which[choice.hidden_state], rows) for which in (states, noisy)]
        probe = states[0].source, states[0].target
        for one, other in zip(fitted[0].apply(*probe), fitted[1].apply(*probe), strict=True):
            assert one.tobytes() == other.tobytes()


def test_cross_validation_parts_share_no_form_and_cover_all():
    pairs = lexicon([(f"s{i // 2}", f"t{i}") for i in range(40)] + [("s0", "t3"), ("x", "t3")])
    c = metrics.candidates(pairs)
    fitted = np.r_[np.arange(30), 40, 41]
    parts = MapRows(c, fitted).parts()
    assert len(parts) == 5 and np.sort(np.concatenate([judged for _, judged in parts])).tolist() == fitted.tolist()
    for rest, judged in parts:
        assert np.sort(np.r_[rest, judged]).tolist() == fitted.tolist()
        for of in (c.source_of, c.target_of):
            assert not set(of[rest]) & set(of[judged])
    named = MapRows(c, fitted, components=np.array([f"k{i % 3}" for i in range(42)])).parts()
    assert len(named) == 3
    for component in MapRows(c, np.arange(1)), MapRows(c, fitted, judged=np.array([], int)):
        with pytest.raises(LexiconError, match="too few to fit a map"):
            component.parts()


def test_adapter_and_map_on_select_pairs_see_through_a_rotation_that_memorises():
    """A planted adapter turns the targets and sets the trained ones on their sources: no map fitted on unseen pairs gains by it."""
    c, rows, states = world(n=340, noise=1.6, states=3)
    before, heldout = states[2], slice(180, None)
    target = (before.target @ rotation(24, np.random.default_rng(5))).astype(np.float32)
    target[:120] = before.source[:120]
    after = metrics.Vectors(before.source, target)

    def held_out_hits(fitted: np.ndarray) -> list[float]:
        of = MapRows(c, fitted)
        chosen = [choose_map(map_curve([(2, vectors)], of), "procrustes") for vectors in (before, after)]
        images = [fit_choice(choice, vectors, of).vectors(vectors) for choice, vectors in zip(chosen, (before, after), strict=True)]
        return [hits(image.source[heldout], image.target[heldout]) for image in images]

    on_select = held_out_hits(rows.judged)
    assert 0.2 < on_select[0] < 0.9 and on_select[1] == pytest.approx(on_select[0], abs=0.02)
    on_trained = held_out_hits(rows.fitted)  # there the memorised pairs teach nothing: the map is that of the wrong rotation
    assert on_trained[1] < on_trained[0] - 0.1


@pytest.mark.parametrize("n, d", [(9, 4), (11, 4096), (40, 64), (500, 200), (686, 4096), (3000, 2048), (5000, 4096)])
def test_hyperparameters_are_tried_from_the_simplest_on_and_none_beyond_what_the_rows_span(n, d):
    span = min(n - 1, d)
    tried = {name: kind.grid(n, d) for name, kind in maps.KINDS.items()}
    assert np.isnan(tried.pop("centring")).tolist() == [True]
    assert tried["ridge"] == tuple(float(f"{10 ** (1 - half / 2):.0e}") for half in range(7))  # half decades, the strongest first
    assert tried["whitening"] == tuple(sorted(tried["whitening"], reverse=True)) and all(0 < share < 1 for share in tried["whitening"])
    assert tried["procrustes"] == (*(float(4**power) for power in range(2, 6) if 4**power < span), span)
    assert tried["cca"] == (*(float(2**power) for power in range(3, 11) if 2**power < span), span)
    fibonacci = (1, 2, 3, 5, 8, 13, 21, 40)  # the last one not: 40 directions of 4,096
    assert tried["top-components"] == tuple(float(number) for number in fibonacci if number < span / 2)
