// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry} from "../src/interfaces/IAgreementRegistry.sol";
import {Vm} from "./Vm.sol";

/// @title A registry with three parties, three attestors and two requesters
/// @dev The registry is the one that WINNOW_REGISTRY names: tests of the tests put a broken one there.
abstract contract Fixture {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint64 internal constant NOW = 1_700_000_000;
    uint32 internal constant QUOTA = 5;
    uint64 internal constant BUDGET = 100;
    address internal constant OUTSIDER = address(0xD1);

    IAgreementRegistry internal registry;
    uint256[3] internal keys = [uint256(0xA1), 0xA2, 0xA3];
    address[3] internal attestors = [address(0xB1), address(0xB2), address(0xB3)];
    address[2] internal requesters = [address(0xC1), address(0xC2)];

    function setUp() public virtual {
        vm.warp(NOW);
        registry = deploy();
    }

    function deploy() internal returns (IAgreementRegistry) {
        string memory artifact = vm.envOr("WINNOW_REGISTRY", string("AgreementRegistry.sol:AgreementRegistry"));
        return IAgreementRegistry(vm.deployCode(artifact));
    }

    function party(uint256 i) internal view returns (address) {
        return vm.addr(keys[i]);
    }

    function content() internal view returns (IAgreementRegistry.Content memory found) {
        found.termsHash = keccak256("terms");
        found.parties = new address[](3);
        found.attestors = new address[](3);
        found.requesters = new IAgreementRegistry.Requester[](2);
        for (uint256 i; i < 3; ++i) {
            found.parties[i] = party(i);
            found.attestors[i] = attestors[i];
        }
        for (uint256 i; i < 2; ++i) {
            found.requesters[i] = IAgreementRegistry.Requester(requesters[i], uint32(i + 1));
        }
        found.validFrom = NOW;
        found.validUntil = NOW + 1000;
        found.runQuota = QUOTA;
        found.privacyBudget = BUDGET;
    }

    function successor(bytes32 id) internal view returns (IAgreementRegistry.Content memory found) {
        found = content();
        found.termsHash = keccak256(abi.encode("terms after", id));
        found.supersedes = id;
    }

    /// @dev The id that the registry would give, without proposing anything.
    function idOf(IAgreementRegistry.Content memory what) internal returns (bytes32 id) {
        uint256 snapshot = vm.snapshotState();
        id = registry.propose(what);
        vm.revertToState(snapshot);
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function sign(bytes32 id, uint256 i) internal {
        registry.sign(id, party(i), signature(keys[i], id));
    }

    function signed(IAgreementRegistry.Content memory what) internal returns (bytes32 id) {
        id = registry.propose(what);
        for (uint256 i; i < 3; ++i) {
            sign(id, i);
        }
    }

    function active(IAgreementRegistry.Content memory what) internal returns (bytes32 id) {
        id = signed(what);
        vm.prank(party(0));
        registry.activate(id);
    }

    function active() internal returns (bytes32) {
        return active(content());
    }

    function one(bytes32 runId, address requester, uint64 budget)
        internal
        pure
        returns (IAgreementRegistry.Reservation[] memory runs)
    {
        runs = new IAgreementRegistry.Reservation[](1);
        runs[0] = IAgreementRegistry.Reservation(runId, requester, budget);
    }

    function authorise(bytes32 id, bytes32 runId) internal returns (uint32 sequence) {
        vm.prank(attestors[0]);
        registry.authorise(id, one(runId, address(0), 10));
        return registry.run(id, runId).sequence;
    }

    function release(bytes32 id, bytes32 runId) internal {
        uint32 sequence = registry.run(id, runId).sequence;
        for (uint256 i; i < 3; ++i) {
            vm.prank(attestors[i]);
            registry.release(id, runId, sequence);
        }
    }

    function attest(bytes32 id, bytes32 runId, uint256 i) internal {
        vm.prank(attestors[i]);
        registry.attest(id, runId, keccak256("block"), keccak256("transcript"));
    }

    function check(bool truth, string memory what) internal pure {
        require(truth, what);
    }

    function inState(bytes32 id, IAgreementRegistry.State state) internal view {
        check(registry.agreement(id).state == state, "another state");
    }

    function refuses(bytes4 selector, bytes32 id) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, id));
    }

    function refuses(bytes4 selector, bytes32 id, address account) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, id, account));
    }

    function refuses(bytes4 selector, bytes32 id, bytes32 runId, address account) internal {
        vm.expectRevert(abi.encodeWithSelector(selector, id, runId, account));
    }

    function refusesState(bytes32 id, IAgreementRegistry.State found, IAgreementRegistry.State required) internal {
        vm.expectRevert(abi.encodeWithSelector(IAgreementRegistry.AgreementNotInState.selector, id, found, required));
    }

    function refusesStage(bytes32 id, bytes32 runId, IAgreementRegistry.Stage found) internal {
        vm.expectRevert(abi.encodeWithSelector(IAgreementRegistry.RunNotInStage.selector, id, runId, found));
    }

    function emits() internal {
        vm.expectEmit(address(registry));
    }
}
