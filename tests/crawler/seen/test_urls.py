"""What a run knows: claims are its own, settlements and revisits come from earlier runs too."""

from crawler.seen import SeenUrls
from crawler.seen.hashes import SortedHashes, pack, unpack


def sorted_hashes(*hashes: int) -> SortedHashes:
    return SortedHashes(unpack(pack(hashes)))


def test_claims_are_of_this_run_and_settlements_are_seen() -> None:
    seen = SeenUrls([sorted_hashes(1, 5), sorted_hashes(), sorted_hashes(9)])
    assert seen.claim(7)
    assert not seen.claim(7)
    assert 7 not in seen
    seen.settle([7, 8])
    assert {hash_ for hash_ in range(12) if hash_ in seen} == {1, 5, 7, 8, 9}
    assert {hash_ for hash_ in range(12) if seen.wants(hash_)} == {0, 2, 3, 4, 6, 10, 11}
    assert seen.unseen(unpack(pack(range(12)))).tolist() == [0, 2, 3, 4, 6, 7, 8, 10, 11]


def test_sources_of_redirects_wait_for_their_target() -> None:
    seen = SeenUrls()
    seen.wait(7, [1, 2])
    seen.wait(2, [3])
    seen.wait(3, [7])
    assert seen.settle([6]) == {6}
    assert 3 not in seen
    assert seen.settle([7]) == {7, 1, 2, 3}
    assert 3 in seen
    assert seen.settle([7]) == {7}


def test_what_is_due_is_wanted_once() -> None:
    seen = SeenUrls([sorted_hashes(1, 2, 3)], due=sorted_hashes(2))
    assert 2 in seen
    assert seen.is_due(2)
    assert not seen.is_due(1)
    assert [seen.wants(hash_) for hash_ in (1, 2, 3, 4)] == [False, True, False, True]
    seen.settle([2])
    assert not seen.is_due(2)
    assert not seen.wants(2)
