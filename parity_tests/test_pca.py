# SPDX-License-Identifier: Apache-2.0
"""Principal components: learned by streaming, applied in the paper's order."""

import numpy as np
import pytest

from delf_common.errors import DelfError
from delf_common.extraction.pca import StreamingCovariance, describe, l2_normalize
from delf_common.weights.metadata import Pca


def rows(count=500, channels=6, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(channels, channels))
    return (rng.normal(size=(count, channels)) @ mixing + 50).astype(np.float32)


def test_projection_worked_by_hand():
    pca = Pca(
        np.array([0.6, 0.0], np.float32),
        np.array([[0, 1], [1, 0]], np.float32),
        np.array([4.0, 0.25], np.float32),
    )
    # (3, 4) -> unit (0.6, 0.8) -> centred (0, 0.8) -> projected (0.8, 0)
    np.testing.assert_allclose(describe(np.array([[3, 4]], np.float32), pca), [[1, 0]])
    # (5, 0) -> (1, 0) -> (0.4, 0) -> (0, 0.4); whitened by (2, 0.5): (0, 0.8) -> (0, 1)
    # (4, 3) -> (0.8, 0.6) -> (0.2, 0.6) -> (0.6, 0.2) -> whitened (0.3, 0.4)
    whitened = describe(np.array([[4, 3]], np.float32), pca, whitening=True)
    np.testing.assert_allclose(whitened, [[0.6, 0.8]], atol=1e-6)
    first = describe(np.array([[4, 3]], np.float32), pca, dimension=1)
    np.testing.assert_allclose(first, [[1]])


def test_a_row_of_zeros_stays_zero_and_no_rows_stay_no_rows():
    assert not l2_normalize(np.zeros((1, 3), np.float32)).any()
    assert describe(np.zeros((0, 3), np.float32), None).shape == (0, 3)


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_streaming_equals_the_covariance_of_all_rows_at_once(batch):
    data = rows()
    stream = StreamingCovariance(6)
    for start in range(0, len(data), batch):
        stream.update(data[start : start + batch])
    pca, explained = stream.learn()
    exact = data.astype(np.float64)
    np.testing.assert_allclose(pca.mean, exact.mean(axis=0), rtol=1e-6)
    variances, vectors = np.linalg.eigh(np.cov(exact.T))
    np.testing.assert_allclose(pca.variances, variances[::-1], rtol=1e-4)
    cosines = np.abs(np.sum(pca.components * vectors[:, ::-1].T, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    np.testing.assert_allclose(explained, np.cumsum(variances[::-1]) / variances.sum())


def test_a_large_common_offset_does_not_cancel_the_variance():
    data = rows() + np.float32(10_000)
    stream = StreamingCovariance(6)
    stream.update(data[:250])
    stream.update(data[250:])
    expected = np.linalg.eigvalsh(np.cov(data.astype(np.float64).T))[::-1]
    np.testing.assert_allclose(stream.learn()[0].variances, expected, rtol=1e-5)


def test_component_signs_are_fixed():
    stream = StreamingCovariance(6)
    stream.update(rows())
    components = stream.learn()[0].components
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(6), largest] > 0).all()


def test_too_few_rows_or_too_many_components_are_refused():
    stream = StreamingCovariance(3)
    stream.update(np.zeros((0, 3), np.float32))
    with pytest.raises(DelfError, match="at least 2 descriptors"):
        stream.learn()
    stream.update(rows(5, 3))
    with pytest.raises(DelfError, match="at most 3"):
        stream.learn(4)


def test_a_pca_of_other_channels_is_refused():
    pca = Pca(
        np.zeros(4, np.float32), np.eye(4, dtype=np.float32), np.ones(4, np.float32)
    )
    with pytest.raises(DelfError, match="4 channels"):
        describe(np.ones((2, 3), np.float32), pca)
    with pytest.raises(DelfError, match="asks for 9"):
        describe(np.ones((2, 4), np.float32), pca, dimension=9)
