// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry as R} from "../src/interfaces/IAgreementRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @title A run from its authorisation to its root
contract RunsTest is Fixture {
    bytes32 private constant UNKNOWN = keccak256("unknown");
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = active();
    }

    function test_authoriseReservesAndTells() public {
        emits();
        emit R.RunAuthorised(id, "a", 1, requesters[1], 30, attestors[2]);
        vm.prank(attestors[2]);
        registry.authorise(id, one("a", requesters[1], 30));
        R.Run memory found = registry.run(id, "a");
        check(found.stage == R.Stage.Authorised && found.sequence == 1, "another stage");
        check(found.reservation.runId == "a" && found.reservation.requester == requesters[1], "another reservation");
        check(found.reservation.budget == 30 && found.released == 0 && found.attested == 0, "another reservation");
        R.View memory account = registry.agreement(id);
        check(account.runsUsed == 1 && account.budgetSpent == 30, "another account");
        check(account.requesterRunsUsed[0] == 0 && account.requesterRunsUsed[1] == 1, "another requester");
    }

    function test_authoriseNeedsAnAttestorAndAnAgreementInForce() public {
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.authorise(UNKNOWN, one("a", address(0), 0));
        refuses(R.NotAnAttestor.selector, id, party(0));
        vm.prank(party(0));
        registry.authorise(id, one("a", address(0), 0));
        R.Content memory what = content();
        what.termsHash = keccak256("later");
        what.validFrom = NOW + 10;
        bytes32 later = signed(what);
        refusesState(later, R.State.Signed, R.State.Active);
        authorise(later, "a");
        vm.prank(party(0));
        registry.activate(later);
        vm.expectRevert(abi.encodeWithSelector(R.AgreementNotYetValid.selector, later, NOW + 10));
        authorise(later, "a");
        vm.warp(NOW + 10);
        authorise(later, "a");
        vm.warp(NOW + 999);
        authorise(later, "b");
        vm.warp(NOW + 1000);
        refusesState(later, R.State.Expired, R.State.Active);
        authorise(later, "c");
        refusesState(later, R.State.Expired, R.State.Active);
        authorise(later, "b");
    }

    function test_authoriseRefusesNothingAndTooMuch() public {
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 0, 128));
        vm.prank(attestors[0]);
        registry.authorise(id, new R.Reservation[](0));
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 129, 128));
        vm.prank(attestors[0]);
        registry.authorise(id, new R.Reservation[](129));
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        authorise(id, 0);
    }

    function test_aRunThatIsAuthorisedIsCountedOnce() public {
        R.Reservation[] memory runs = new R.Reservation[](3);
        (runs[0], runs[1], runs[2]) = (one("a", address(0), 10)[0], one("b", address(0), 0)[0], one("a", address(0), 10)[0]);
        vm.prank(attestors[0]);
        registry.authorise(id, runs);
        vm.prank(attestors[1]);
        registry.authorise(id, runs);
        check(registry.agreement(id).runsUsed == 2 && registry.agreement(id).budgetSpent == 10, "counted twice");
        bytes32[] memory asked = new bytes32[](3);
        (asked[0], asked[1], asked[2]) = ("a", "b", "c");
        uint32[] memory found = registry.authorisations(id, asked);
        check(found[0] == 1 && found[1] == 2 && found[2] == 0, "other numbers");
        vm.expectRevert(abi.encodeWithSelector(R.RunDiffers.selector, id, bytes32("a")));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", address(0), 11));
        vm.expectRevert(abi.encodeWithSelector(R.RunDiffers.selector, id, bytes32("a")));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", requesters[0], 10));
    }

    function test_quotasAndBudgetHoldForAllRunsOrNone() public {
        R.Reservation[] memory runs = new R.Reservation[](6);
        for (uint256 i; i < 6; ++i) {
            runs[i].runId = bytes32(i + 1);
        }
        vm.expectRevert(abi.encodeWithSelector(R.QuotaExhausted.selector, id, QUOTA));
        vm.prank(attestors[0]);
        registry.authorise(id, runs);
        runs = new R.Reservation[](2);
        (runs[0], runs[1]) = (one("a", address(0), 60)[0], one("b", address(0), 41)[0]);
        vm.expectRevert(abi.encodeWithSelector(R.BudgetExhausted.selector, id, 40, 41));
        vm.prank(attestors[0]);
        registry.authorise(id, runs);
        (runs[0], runs[1]) = (one("a", requesters[0], 0)[0], one("b", requesters[0], 0)[0]);
        vm.expectRevert(abi.encodeWithSelector(R.RequesterQuotaExhausted.selector, id, requesters[0], 1));
        vm.prank(attestors[0]);
        registry.authorise(id, runs);
        refuses(R.NotARequester.selector, id, OUTSIDER);
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", OUTSIDER, 0));
        R.View memory account = registry.agreement(id);
        check(account.runsUsed == 0 && account.budgetSpent == 0 && account.requesterRunsUsed[0] == 0, "something used");
    }

    function test_aSuccessorChangesWhatMayBeUsedAndNotWhatWas() public {
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", requesters[0], 60));
        R.Content memory what = successor(id);
        what.runQuota = 2;
        what.privacyBudget = 50;
        what.requesters[0].runQuota = 2;
        id = active(what);
        vm.expectRevert(abi.encodeWithSelector(R.BudgetExhausted.selector, id, 0, 1));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", requesters[0], 1));
        emits();
        emit R.RunAuthorised(id, "a", 2, requesters[0], 0, attestors[0]);
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", requesters[0], 0));
        vm.expectRevert(abi.encodeWithSelector(R.QuotaExhausted.selector, id, 2));
        vm.prank(attestors[0]);
        registry.authorise(id, one("b", address(0), 0));
    }

    function test_releaseGivesBackWhenAllGiveUp() public {
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", requesters[0], 60));
        for (uint256 i; i < 3; ++i) {
            check(registry.agreement(id).runsUsed == 1, "given back too early");
            emits();
            emit R.RunGivenUp(id, "a", 1, attestors[i]);
            if (i == 2) {
                emits();
                emit R.RunReleased(id, "a", 1);
            }
            vm.prank(attestors[i]);
            registry.release(id, "a", 1);
            if (i < 2) {
                check(registry.run(id, "a").released == (2 << i) - 1, "given up by others");
                refuses(R.AlreadyGivenUp.selector, id, "a", attestors[i]);
                vm.prank(attestors[i]);
                registry.release(id, "a", 1);
            }
        }
        R.View memory account = registry.agreement(id);
        check(account.runsUsed == 0 && account.budgetSpent == 0 && account.requesterRunsUsed[0] == 0, "not given back");
        check(registry.run(id, "a").stage == R.Stage.Released, "not released");
        check(registry.authorisations(id, ids("a"))[0] == 0, "authorised");
        refusesStage(id, "a", R.Stage.Released);
        vm.prank(attestors[0]);
        registry.release(id, "a", 1);
    }

    function test_aReleasedRunMayBeAuthorisedAnew() public {
        authorise(id, "a");
        release(id, "a");
        check(authorise(id, "a") == 2, "not counted again");
        check(registry.run(id, "a").released == 0, "given up");
        vm.expectRevert(abi.encodeWithSelector(R.SequenceRefused.selector, id, bytes32("a"), 2, 1));
        vm.prank(attestors[0]);
        registry.release(id, "a", 1);
        attest(id, "a", 0);
    }

    function test_releaseNeedsAnAttestorAndAnAuthorisedRun() public {
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.release(UNKNOWN, "a", 1);
        refuses(R.NotAnAttestor.selector, id, party(0));
        vm.prank(party(0));
        registry.release(id, "a", 1);
        refusesStage(id, "a", R.Stage.Unknown);
        vm.prank(attestors[0]);
        registry.release(id, "a", 0);
    }

    function test_whatSomebodyAttestedIsNeverReleased() public {
        authorise(id, "a");
        vm.prank(attestors[0]);
        registry.release(id, "a", 1);
        attest(id, "a", 1);
        for (uint256 i; i < 3; ++i) {
            refusesStage(id, "a", R.Stage.Attested);
            vm.prank(attestors[i]);
            registry.release(id, "a", 1);
        }
        refuses(R.AlreadyGivenUp.selector, id, "a", attestors[0]);
        attest(id, "a", 0);
        vm.prank(attestors[2]);
        registry.commit(id, "a", "root");
        refusesStage(id, "a", R.Stage.Committed);
        vm.prank(attestors[2]);
        registry.release(id, "a", 1);
    }

    function test_whatEndedIsReleasedFromTheCommonAccount() public {
        authorise(id, "a");
        bytes32 next = active(successor(id));
        check(registry.agreement(next).runsUsed == 1, "another account");
        release(id, "a");
        check(registry.agreement(next).runsUsed == 0 && registry.agreement(next).budgetSpent == 0, "not given back");
        vm.prank(party(0));
        registry.revoke(next);
    }

    function test_attestNamesVersionBlockAndTranscript() public {
        id = active(successor(id));
        authorise(id, "a");
        emits();
        emit R.RunAttested(id, "a", attestors[1], 2, keccak256("block"), keccak256("transcript"));
        attest(id, "a", 1);
        R.Run memory found = registry.run(id, "a");
        check(found.stage == R.Stage.Attested && found.attested == 2, "another stage");
        (bytes32 blockHash, bytes32 transcript) = registry.attestation(id, "a", attestors[1]);
        check(blockHash == keccak256("block") && transcript == keccak256("transcript"), "another attestation");
        (blockHash, transcript) = registry.attestation(id, "a", attestors[0]);
        check(blockHash == 0 && transcript == 0, "attested by others");
        refuses(R.AlreadyAttested.selector, id, "a", attestors[1]);
        attest(id, "a", 1);
        attest(id, "a", 0);
        check(registry.run(id, "a").attested == 3, "attested by others");
    }

    function test_attestNeedsAnAttestorAndARun() public {
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        attest(UNKNOWN, "a", 0);
        refuses(R.NotAnAttestor.selector, id, OUTSIDER);
        vm.prank(OUTSIDER);
        registry.attest(id, "a", "block", "transcript");
        refusesStage(id, "a", R.Stage.Unknown);
        attest(id, "a", 0);
        authorise(id, "a");
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        vm.prank(attestors[0]);
        registry.attest(id, "a", 0, "transcript");
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        vm.prank(attestors[0]);
        registry.attest(id, "a", "block", 0);
        release(id, "a");
        refusesStage(id, "a", R.Stage.Released);
        attest(id, "a", 0);
    }

    function test_commitIsMadeOnceAndAfterAnAttestation() public {
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.commit(UNKNOWN, "a", "root");
        authorise(id, "a");
        refuses(R.NotAnAttestor.selector, id, party(1));
        vm.prank(party(1));
        registry.commit(id, "a", "root");
        refusesStage(id, "a", R.Stage.Authorised);
        vm.prank(attestors[0]);
        registry.commit(id, "a", "root");
        attest(id, "a", 0);
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        vm.prank(attestors[0]);
        registry.commit(id, "a", 0);
        emits();
        emit R.RunCommitted(id, "a", "root", attestors[2]);
        vm.prank(attestors[2]);
        registry.commit(id, "a", "root");
        check(registry.run(id, "a").commitment == "root", "another root");
        check(registry.run(id, "a").stage == R.Stage.Committed, "another stage");
        vm.expectRevert(abi.encodeWithSelector(R.AlreadyCommitted.selector, id, bytes32("a")));
        vm.prank(attestors[1]);
        registry.commit(id, "a", "root");
        attest(id, "a", 1);
        check(registry.run(id, "a").stage == R.Stage.Committed, "another stage");
    }

    function test_evidenceIsTakenAfterTheEnd() public {
        authorise(id, "a");
        authorise(id, "b");
        vm.prank(party(0));
        registry.revoke(id);
        attest(id, "a", 0);
        vm.prank(attestors[0]);
        registry.commit(id, "a", "root");
        release(id, "b");
        check(registry.agreement(id).runsUsed == 1, "another account");
    }

    function ids(bytes32 only) private pure returns (bytes32[] memory found) {
        found = new bytes32[](1);
        found[0] = only;
    }
}
