"""Groups of forked gloo ranks, one of each size for the whole session."""

from collections.abc import Callable, Iterator

import pytest

from reference.pool import Pool


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Pool]]:
    """The pool of a size."""
    pools: dict[int, Pool] = {}

    def of(size: int) -> Pool:
        if size not in pools or not all(worker.is_alive() for worker in pools[size].workers):
            pools[size] = Pool(size, tmp_path_factory.mktemp("group"))
        return pools[size]

    yield of
    for pool in pools.values():
        pool.close()
