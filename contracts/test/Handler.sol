// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry as R} from "../src/interfaces/IAgreementRegistry.sol";
import {Vm} from "./Vm.sol";

/// @title Everybody who may call the registry, in any order
/// @dev Keeps its own account of what succeeded, by which the invariants judge the registry. Nothing here reverts.
contract Handler {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant MOST_AGREEMENTS = 8;
    uint256 private constant RUN_IDS = 8;
    uint256 private constant KEYS = 4;

    struct Known {
        R.Content content;
        bytes32 lineage;
        mapping(address => bool) signed;
        mapping(address => bool) suspends;
        bool activated;
        bool revoked;
        bool superseded;
    }

    /// @dev A run that was authorised at some time.
    struct Place {
        bytes32 id;
        bytes32 runId;
    }

    R public immutable registry;
    bytes32[] public agreements;
    string public broken;
    Place[] private _places;
    uint256 private _calls;
    mapping(bytes32 id => Known) private _known;
    mapping(bytes32 lineage => bytes32) private _latest;
    mapping(bytes32 lineage => uint32) private _sequence;
    mapping(bytes32 id => mapping(bytes32 runId => bool)) private _attested;

    constructor(R registry_) {
        registry = registry_;
        propose(0);
        _signByAll(agreements[0], party(0));
    }

    function party(uint256 i) public pure returns (address) {
        return vm.addr(0xA1 + i % KEYS);
    }

    function attestor(uint256 i) public pure returns (address) {
        return address(uint160(0xB1 + i % 2));
    }

    function requester(uint256 i) public pure returns (address) {
        return i % 3 == 2 ? address(0) : address(uint160(0xC1 + i % 3));
    }

    function count() external view returns (uint256) {
        return agreements.length;
    }

    function lineageOf(bytes32 id) external view returns (bytes32) {
        return _known[id].lineage;
    }

    // ---- what the fuzzer calls

    function propose(uint256 seed) public {
        seed = _drawn(seed);
        if (agreements.length >= MOST_AGREEMENTS) return;
        bytes32 earlier = agreements.length == 0 || seed % 4 == 0 ? bytes32(0) : _one(seed);
        R.Content memory what = _content(seed, earlier);
        try registry.propose(what) returns (bytes32 id) {
            agreements.push(id);
            Known storage known = _known[id];
            known.lineage = earlier == 0 ? id : _known[earlier].lineage;
            known.content.supersedes = earlier;
            known.content.parties = what.parties;
            known.content.validFrom = what.validFrom;
            known.content.validUntil = what.validUntil;
            known.content.runQuota = what.runQuota;
            known.content.privacyBudget = what.privacyBudget;
            for (uint256 i; i < what.requesters.length; ++i) {
                known.content.requesters.push(what.requesters[i]);
            }
            if (earlier != 0 && what.parties.length < _known[earlier].content.parties.length) {
                broken = "a party was left out";
            }
            if (seed & 1 << 90 == 0) _signByAll(id, party(seed >> 91));
        } catch {}
    }

    function sign(uint256 seed, uint256 who, bool wrongly) external {
        seed = _drawn(seed);
        bytes32 id = _one(seed);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(0xA1 + (who % KEYS + (wrongly ? 1 : 0)) % KEYS, id);
        try registry.sign(id, party(who), abi.encodePacked(r, s, v)) {
            if (wrongly) broken = "another's signature was taken";
            _known[id].signed[party(who)] = true;
        } catch {}
    }

    function signByAll(uint256 seed, uint256 who) external {
        seed = _drawn(seed);
        _signByAll(agreements[seed % agreements.length], party(who));
    }

    function activate(uint256 seed, uint256 who) external {
        seed = _drawn(seed);
        _activate(_one(seed), party(who));
    }

    function suspend(uint256 seed, uint256 who) external {
        seed = _drawn(seed);
        if (seed % 4 != 0) return;
        vm.prank(party(who));
        try registry.suspend(_one(seed)) {
            _known[_one(seed)].suspends[party(who)] = true;
        } catch {}
    }

    function resume(uint256 seed, uint256 who) external {
        seed = _drawn(seed);
        bytes32 id = agreements[seed % agreements.length];
        vm.prank(party(who));
        try registry.resume(id) {
            if (!_known[id].suspends[party(who)]) broken = "resumed by somebody who had not suspended";
            _known[id].suspends[party(who)] = false;
        } catch {}
    }

    function revoke(uint256 seed, uint256 who) external {
        seed = _drawn(seed);
        if (seed % 8 != 0) return;
        bytes32 id = _one(seed);
        bool ended = _ended(id);
        vm.prank(party(who));
        try registry.revoke(id) {
            if (ended) broken = "revoked after its end";
            _known[id].revoked = true;
        } catch {}
    }

    function authorise(uint256 seed, uint256 first, uint8 runs, uint8 budget) external {
        seed = _drawn(seed);
        bytes32 id = _one(seed);
        R.Reservation[] memory asked = new R.Reservation[](runs % 4 == 0 ? 2 : 1);
        uint32[] memory before = new uint32[](asked.length);
        for (uint256 i; i < asked.length; ++i) {
            // The same run is asked for by the same requester, most of the time.
            bytes32 runId = bytes32((first % RUN_IDS + i) % RUN_IDS + 1);
            asked[i] = R.Reservation(runId, requester(uint256(runId) + (seed % 16 == 0 ? 1 : 0)), budget % 3);
            before[i] = _counted(id, runId);
        }
        vm.prank(attestor(first));
        try registry.authorise(id, asked) {
            _judge(id, asked, before);
        } catch {}
    }

    function release(uint256 seed, uint256 run, bool byAll) external {
        seed = _drawn(seed);
        (bytes32 id, bytes32 runId) = _run(seed, run);
        uint32 sequence = registry.run(id, runId).sequence;
        for (uint256 i; i < (byAll ? 2 : 1); ++i) {
            vm.prank(attestor(seed % 2 + i));
            try registry.release(id, runId, sequence) {
                if (_attested[id][runId]) broken = "given up after an attestation";
            } catch {}
        }
    }

    function attest(uint256 seed, uint256 run, uint256 who) external {
        seed = _drawn(seed);
        if (seed % 4 != 0) return;
        (bytes32 id, bytes32 runId) = _run(seed, run);
        vm.prank(attestor(who));
        try registry.attest(id, runId, "block", "transcript") {
            if (_counted(id, runId) == 0) broken = "attested without an authorisation";
            _attested[id][runId] = true;
        } catch {}
    }

    function commit(uint256 seed, uint256 run, uint256 who) external {
        seed = _drawn(seed);
        (bytes32 id, bytes32 runId) = _run(seed, run);
        vm.prank(attestor(who));
        try registry.commit(id, runId, "root") {
            if (!_attested[id][runId]) broken = "committed without an attestation";
        } catch {}
    }

    function wait(uint8 time) external {
        vm.warp(block.timestamp + time % 20);
    }

    // ---- what the invariants ask

    /// @notice Runs, budget and runs of requesters of a lineage, added up over the runs that the registry says count.
    function added(bytes32 lineage) external view returns (uint256 runs, uint256 budget, uint256[2] memory requesters) {
        for (uint256 a; a < agreements.length; ++a) {
            if (_known[agreements[a]].lineage != lineage) continue;
            for (uint256 i = 1; i <= RUN_IDS; ++i) {
                R.Run memory run = registry.run(agreements[a], bytes32(i));
                if (run.stage == R.Stage.Unknown || run.stage == R.Stage.Released) continue;
                ++runs;
                budget += run.reservation.budget;
                if (run.reservation.requester == requester(0)) ++requesters[0];
                if (run.reservation.requester == requester(1)) ++requesters[1];
            }
        }
    }

    /// @notice Where an agreement stands by this contract's own account.
    function expected(bytes32 id) public view returns (R.State) {
        Known storage known = _known[id];
        if (known.revoked) return R.State.Revoked;
        if (known.superseded) return R.State.Superseded;
        if (block.timestamp >= known.content.validUntil) return R.State.Expired;
        if (!known.activated) return _signedByAll(known) ? R.State.Signed : R.State.Proposed;
        return _suspended(known) ? R.State.Suspended : R.State.Active;
    }

    // ---- by itself

    /// @dev forge likes small numbers, which would choose the same again and again.
    function _drawn(uint256 seed) private returns (uint256) {
        return uint256(keccak256(abi.encode(seed, ++_calls)));
    }

    function _signByAll(bytes32 id, address by) private {
        for (uint256 i; i < KEYS; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(0xA1 + i, id);
            try registry.sign(id, party(i), abi.encodePacked(r, s, v)) {
                _known[id].signed[party(i)] = true;
            } catch {}
        }
        _activate(id, by);
    }

    function _activate(bytes32 id, address by) private {
        Known storage known = _known[id];
        bytes32 earlier = known.content.supersedes;
        vm.prank(by);
        try registry.activate(id) {
            if (!_signedByAll(known)) broken = "activated without all signatures";
            if (_latest[known.lineage] != earlier) broken = "superseded what was not the last version";
            known.activated = true;
            _latest[known.lineage] = id;
            if (earlier == 0) return;
            Known storage before = _known[earlier];
            if (before.revoked) broken = "superseded what was revoked";
            for (uint256 i; i < before.content.parties.length; ++i) {
                address each = before.content.parties[i];
                if (before.suspends[each]) known.suspends[each] = true;
            }
            if (block.timestamp < before.content.validUntil) before.superseded = true;
        } catch {}
    }

    function _judge(bytes32 id, R.Reservation[] memory asked, uint32[] memory before) private {
        Known storage known = _known[id];
        if (!known.activated || !_signedByAll(known)) broken = "authorised without all signatures and activation";
        if (_ended(id) || _suspended(known)) broken = "authorised when it was not active";
        if (block.timestamp < known.content.validFrom) broken = "authorised before the first second";
        R.View memory found = registry.agreement(id);
        bool more;
        for (uint256 i; i < asked.length; ++i) {
            uint32 sequence = _counted(id, asked[i].runId);
            if (sequence == 0) broken = "not authorised";
            if (before[i] != 0) {
                if (sequence != before[i]) broken = "counted again";
            } else if (!_repeats(asked, i)) {
                if (sequence <= _sequence[known.lineage]) broken = "a sequence number came again";
                _sequence[known.lineage] = sequence;
                _places.push(Place(id, asked[i].runId));
                more = true;
                _judgeRequester(known, found, asked[i].requester);
                if (asked[i].budget > 0 && found.budgetSpent > known.content.privacyBudget) broken = "over the budget";
            }
        }
        if (more && found.runsUsed > known.content.runQuota) broken = "over the quota";
    }

    function _judgeRequester(Known storage known, R.View memory found, address asker) private {
        if (asker == address(0)) return;
        for (uint256 i; i < known.content.requesters.length; ++i) {
            if (known.content.requesters[i].account != asker) continue;
            if (found.requesterRunsUsed[i] > known.content.requesters[i].runQuota) broken = "over a requester's quota";
            return;
        }
        broken = "authorised for a stranger";
    }

    function _content(uint256 seed, bytes32 earlier) private view returns (R.Content memory what) {
        uint256 parties = 2 + (seed >> 8) % (KEYS - 1);
        what.termsHash = keccak256(abi.encode(seed, agreements.length));
        what.supersedes = earlier;
        what.parties = new address[](parties);
        for (uint256 i; i < parties; ++i) {
            what.parties[i] = party(parties - 1 - i);
        }
        what.attestors = new address[](2);
        (what.attestors[0], what.attestors[1]) = (attestor(0), attestor(1));
        what.requesters = new R.Requester[]((seed >> 16) % 4 == 0 ? 0 : (seed >> 20) % 2 + 1);
        for (uint256 i; i < what.requesters.length; ++i) {
            what.requesters[i] = R.Requester(requester(i), uint32((seed >> (24 + i)) % 2) + 1);
        }
        what.validFrom = uint64(block.timestamp + (seed >> 32) % 8);
        what.validUntil = what.validFrom + 50 + uint64((seed >> 40) % 1000);
        what.runQuota = uint32((seed >> 48) % 4) + 1;
        what.privacyBudget = uint64((seed >> 56) % 4);
    }

    /// @dev An agreement, most of the time one that is active, if there is any.
    function _one(uint256 seed) private view returns (bytes32) {
        uint256 first = (seed >> 64) % agreements.length;
        if (seed & 3 << 80 == 0) return agreements[first];
        for (uint256 i; i < agreements.length; ++i) {
            bytes32 id = agreements[(first + i) % agreements.length];
            if (expected(id) == R.State.Active) return id;
        }
        return agreements[first];
    }

    /// @dev A run, most of the time one that was authorised.
    function _run(uint256 seed, uint256 run) private view returns (bytes32, bytes32) {
        if (_places.length == 0 || seed & 7 << 82 == 0) return (_one(seed), bytes32(run % RUN_IDS + 1));
        Place storage place = _places[(seed >> 96) % _places.length];
        return (place.id, place.runId);
    }

    function _counted(bytes32 id, bytes32 runId) private view returns (uint32) {
        bytes32[] memory asked = new bytes32[](1);
        asked[0] = runId;
        return registry.authorisations(id, asked)[0];
    }

    function _repeats(R.Reservation[] memory asked, uint256 place) private pure returns (bool) {
        for (uint256 i; i < place; ++i) {
            if (asked[i].runId == asked[place].runId) return true;
        }
        return false;
    }

    function _signedByAll(Known storage known) private view returns (bool) {
        for (uint256 i; i < known.content.parties.length; ++i) {
            if (!known.signed[known.content.parties[i]]) return false;
        }
        return true;
    }

    function _suspended(Known storage known) private view returns (bool) {
        for (uint256 i; i < known.content.parties.length; ++i) {
            if (known.suspends[known.content.parties[i]]) return true;
        }
        return false;
    }

    function _ended(bytes32 id) private view returns (bool) {
        Known storage known = _known[id];
        return known.revoked || known.superseded || block.timestamp >= known.content.validUntil;
    }
}
