// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry as R} from "../src/interfaces/IAgreementRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @dev A party that is a contract: it has signed what it was told to (ERC-1271).
contract Wallet {
    mapping(bytes32 digest => bytes32) private _approved;

    function approve(bytes32 digest, bytes calldata signature) external {
        _approved[digest] = keccak256(signature);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return _approved[digest] == keccak256(signature) ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @title An agreement from its proposal to its end
contract AgreementsTest is Fixture {
    bytes32 private constant UNKNOWN = keccak256("unknown");

    function test_proposeWritesDownWhatIsSigned() public {
        R.Content memory what = content();
        bytes32 expected = signed(what);
        R.View memory found = registry.agreement(expected);
        check(keccak256(abi.encode(found.content)) == keccak256(abi.encode(what)), "other contents");
        check(found.version == 1 && found.latest == 0 && found.suspended == 0, "another version");
        check(found.runsUsed == 0 && found.budgetSpent == 0, "something used");
        check(found.requesterRunsUsed.length == 2, "other requesters");
    }

    function test_proposeTellsWhoProposedWhat() public {
        bytes32 id = active();
        R.Content memory what = successor(id);
        bytes32 next = idOf(what);
        inState(next, R.State.Unknown);
        emits();
        emit R.AgreementProposed(next, what.termsHash, id, OUTSIDER);
        vm.prank(OUTSIDER);
        registry.propose(what);
        inState(next, R.State.Proposed);
        check(registry.agreement(next).version == 2 && registry.agreement(next).latest == id, "another version");
        refuses(R.AgreementExists.selector, next);
        registry.propose(what);
    }

    function test_proposeRefusesZeros() public {
        R.Content memory what = content();
        what.termsHash = 0;
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        registry.propose(what);
        what = content();
        what.runQuota = 0;
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        registry.propose(what);
        what = content();
        what.requesters[1].runQuota = 0;
        vm.expectRevert(abi.encodeWithSelector(R.ZeroRefused.selector));
        registry.propose(what);
    }

    function test_proposeRefusesPeriods() public {
        R.Content memory what = content();
        what.validFrom = what.validUntil;
        vm.expectRevert(abi.encodeWithSelector(R.PeriodRefused.selector, what.validFrom, what.validUntil));
        registry.propose(what);
        what.validFrom = NOW - 2;
        what.validUntil = NOW;
        vm.expectRevert(abi.encodeWithSelector(R.PeriodRefused.selector, NOW - 2, NOW));
        registry.propose(what);
        what.validUntil = NOW + 1;
        registry.propose(what);
    }

    function test_proposeRefusesLists() public {
        R.Content memory what = content();
        what.parties = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 0, 8));
        registry.propose(what);
        what.parties = accounts(9);
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 9, 8));
        registry.propose(what);
        what = content();
        what.attestors = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 0, 8));
        registry.propose(what);
        what.attestors = accounts(9);
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 9, 8));
        registry.propose(what);
        what = content();
        what.requesters = askers(65);
        vm.expectRevert(abi.encodeWithSelector(R.ListLengthRefused.selector, 65, 64));
        registry.propose(what);
    }

    function test_proposeTakesTheLongestLists() public {
        R.Content memory what = content();
        what.parties = accounts(8);
        what.attestors = accounts(8);
        what.requesters = askers(64);
        bytes32 id = registry.propose(what);
        check(keccak256(abi.encode(registry.agreement(id).content)) == keccak256(abi.encode(what)), "other contents");
        what.requesters = askers(0);
        registry.propose(what);
    }

    function test_proposeRefusesAddresses() public {
        R.Content memory what = content();
        what.parties[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, address(0)));
        registry.propose(what);
        what.parties[1] = what.parties[0];
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, what.parties[0]));
        registry.propose(what);
        what = content();
        what.attestors[2] = what.attestors[0];
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, what.attestors[0]));
        registry.propose(what);
        what = content();
        what.requesters[0].account = address(0);
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, address(0)));
        registry.propose(what);
        what = content();
        what.requesters[1].account = requesters[0];
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, requesters[0]));
        registry.propose(what);
        what.requesters[0].account = requesters[1];
        vm.expectRevert(abi.encodeWithSelector(R.AddressRefused.selector, requesters[0]));
        registry.propose(what);
    }

    function test_aSuccessorLeavesNobodyOut() public {
        bytes32 id = active();
        R.Content memory what = successor(id);
        what.parties[2] = OUTSIDER;
        refuses(R.PartyLeftOut.selector, id, party(2));
        registry.propose(what);
        what.supersedes = UNKNOWN;
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.propose(what);
    }

    function test_aPartyMayJoinAndTheOrderMayChange() public {
        bytes32 id = active();
        R.Content memory what = successor(id);
        what.parties = new address[](4);
        (what.parties[0], what.parties[1], what.parties[2], what.parties[3]) = (OUTSIDER, party(2), party(0), party(1));
        registry.propose(what);
    }

    function test_signCountsEveryPartyOnce() public {
        bytes32 id = registry.propose(content());
        for (uint256 i; i < 3; ++i) {
            inState(id, R.State.Proposed);
            emits();
            emit R.AgreementSigned(id, party(i));
            vm.prank(OUTSIDER);
            sign(id, i);
            check(registry.agreement(id).signed == (2 << i) - 1, "other signatures");
        }
        inState(id, R.State.Signed);
        refuses(R.AlreadySigned.selector, id, party(1));
        sign(id, 1);
    }

    function test_signRefusesStrangersAndUnknowns() public {
        bytes32 id = registry.propose(content());
        refuses(R.NotAParty.selector, id, OUTSIDER);
        registry.sign(id, OUTSIDER, "");
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.sign(UNKNOWN, party(0), "");
    }

    function test_signRefusesWhatIsNoSignatureOfTheParty() public {
        bytes32 id = registry.propose(content());
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[0], id);
        bytes32 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes[5] memory others = [
            signature(keys[1], id),
            abi.encodePacked(r, bytes32(uint256(order) - uint256(s)), v ^ 7), // the other spelling
            abi.encodePacked(r, s, v, uint8(0)),
            new bytes(65),
            bytes("")
        ];
        for (uint256 i; i < others.length; ++i) {
            refuses(R.SignatureRefused.selector, id, party(0));
            registry.sign(id, party(0), others[i]);
        }
        check(registry.agreement(id).signed == 0, "signed");
        registry.sign(id, party(0), abi.encodePacked(r, s, v));
    }

    function test_aContractMayBeAParty() public {
        Wallet wallet = new Wallet();
        R.Content memory what = content();
        what.parties[0] = address(wallet);
        bytes32 id = registry.propose(what);
        refuses(R.SignatureRefused.selector, id, address(wallet));
        registry.sign(id, address(wallet), "words");
        wallet.approve(id, "words");
        refuses(R.SignatureRefused.selector, id, address(wallet));
        registry.sign(id, address(wallet), "other words");
        registry.sign(id, address(wallet), "words");
        check(registry.agreement(id).signed == 1, "not signed");
    }

    function test_nothingIsSignedAfterTheEnd() public {
        bytes32 id = registry.propose(content());
        vm.prank(party(2));
        registry.revoke(id);
        refusesState(id, R.State.Revoked, R.State.Proposed);
        sign(id, 0);
        R.Content memory what = content();
        what.termsHash = keccak256("other terms");
        id = registry.propose(what);
        vm.warp(what.validUntil);
        refusesState(id, R.State.Expired, R.State.Proposed);
        sign(id, 0);
    }

    function test_activateBringsIntoForce() public {
        bytes32 id = signed(content());
        emits();
        emit R.AgreementActivated(id, 1, party(1));
        vm.prank(party(1));
        registry.activate(id);
        inState(id, R.State.Active);
        check(registry.agreement(id).latest == id, "another latest");
        refusesState(id, R.State.Active, R.State.Signed);
        vm.prank(party(1));
        registry.activate(id);
    }

    function test_activateNeedsAPartyAndAllSignatures() public {
        bytes32 id = registry.propose(content());
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.activate(UNKNOWN);
        refuses(R.NotAParty.selector, id, attestors[0]);
        vm.prank(attestors[0]);
        registry.activate(id);
        sign(id, 0);
        sign(id, 1);
        refusesState(id, R.State.Proposed, R.State.Signed);
        vm.prank(party(0));
        registry.activate(id);
    }

    function test_aSuccessorTakesOver() public {
        bytes32 id = active();
        authorise(id, "a");
        vm.prank(attestors[1]);
        registry.authorise(id, one("b", requesters[1], 7));
        bytes32 next = signed(successor(id));
        inState(id, R.State.Active);
        emits();
        emit R.AgreementActivated(next, 2, party(0));
        emits();
        emit R.AgreementSuperseded(id, next);
        vm.prank(party(0));
        registry.activate(next);
        inState(id, R.State.Superseded);
        inState(next, R.State.Active);
        R.View memory found = registry.agreement(next);
        check(found.version == 2 && found.latest == next, "another version");
        check(found.runsUsed == 2 && found.budgetSpent == 17 && found.requesterRunsUsed[1] == 1, "another account");
        check(registry.agreement(id).runsUsed == 2 && registry.agreement(id).latest == next, "accounts differ");
        refusesState(id, R.State.Superseded, R.State.Active);
        authorise(id, "c");
    }

    function test_onlyTheLastVersionCanBeSuperseded() public {
        bytes32 id = active();
        bytes32 next = signed(successor(id));
        R.Content memory other = successor(id);
        other.runQuota = 99;
        bytes32 rival = signed(other);
        bytes32 third = signed(successor(next));
        vm.expectRevert(abi.encodeWithSelector(R.AgreementNotLatest.selector, next, id));
        vm.prank(party(0));
        registry.activate(third);
        vm.prank(party(0));
        registry.activate(next);
        vm.expectRevert(abi.encodeWithSelector(R.AgreementNotLatest.selector, id, next));
        vm.prank(party(0));
        registry.activate(rival);
        vm.prank(party(0));
        registry.activate(third);
        check(registry.agreement(third).version == 3, "another version");
        inState(next, R.State.Superseded);
    }

    function test_aSuspensionGoesOverToTheSuccessor() public {
        bytes32 id = active();
        R.Content memory what = successor(id);
        (what.parties[0], what.parties[1], what.parties[2]) = (party(2), party(0), party(1));
        bytes32 next = signed(what);
        vm.prank(party(1));
        registry.suspend(id);
        emits();
        emit R.AgreementSuspended(next, party(1));
        vm.prank(party(0));
        registry.activate(next);
        inState(id, R.State.Superseded);
        inState(next, R.State.Suspended);
        check(registry.agreement(next).suspended == 4, "suspended by others");
        vm.prank(party(1));
        registry.resume(next);
        inState(next, R.State.Active);
    }

    function test_whatIsRevokedHasNoSuccessor() public {
        bytes32 id = active();
        bytes32 next = signed(successor(id));
        vm.prank(party(2));
        registry.revoke(id);
        vm.expectRevert(abi.encodeWithSelector(R.AgreementEnded.selector, id, R.State.Revoked));
        vm.prank(party(0));
        registry.activate(next);
    }

    function test_whatIsExpiredStaysSoAndHasASuccessorWithItsAccount() public {
        bytes32 id = active();
        authorise(id, "a");
        R.Content memory what = successor(id);
        what.validUntil = NOW + 5000;
        bytes32 next = signed(what);
        vm.warp(NOW + 1000);
        vm.prank(party(0));
        registry.activate(next);
        inState(id, R.State.Expired);
        check(registry.agreement(next).runsUsed == 1, "another account");
    }

    function test_suspendAndResume() public {
        bytes32 id = active();
        emits();
        emit R.AgreementSuspended(id, party(0));
        vm.prank(party(0));
        registry.suspend(id);
        inState(id, R.State.Suspended);
        refuses(R.AlreadySuspended.selector, id, party(0));
        vm.prank(party(0));
        registry.suspend(id);
        vm.prank(party(2));
        registry.suspend(id);
        check(registry.agreement(id).suspended == 5, "suspended by others");
        refuses(R.NotSuspended.selector, id, party(1));
        vm.prank(party(1));
        registry.resume(id);
        emits();
        emit R.AgreementResumed(id, party(0));
        vm.prank(party(0));
        registry.resume(id);
        inState(id, R.State.Suspended);
        refusesState(id, R.State.Suspended, R.State.Active);
        authorise(id, "a");
        vm.prank(party(2));
        registry.resume(id);
        inState(id, R.State.Active);
        authorise(id, "a");
    }

    function test_suspendNeedsAPartyAndAnAgreementInForce() public {
        bytes32 id = signed(content());
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.suspend(UNKNOWN);
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.resume(UNKNOWN);
        refusesState(id, R.State.Signed, R.State.Active);
        vm.prank(party(0));
        registry.suspend(id);
        vm.prank(party(0));
        registry.activate(id);
        refuses(R.NotAParty.selector, id, OUTSIDER);
        vm.prank(OUTSIDER);
        registry.suspend(id);
        vm.prank(party(0));
        registry.suspend(id);
        refuses(R.NotAParty.selector, id, OUTSIDER);
        vm.prank(OUTSIDER);
        registry.resume(id);
        vm.warp(NOW + 1000);
        inState(id, R.State.Expired);
        refusesState(id, R.State.Expired, R.State.Suspended);
        vm.prank(party(0));
        registry.resume(id);
        refusesState(id, R.State.Expired, R.State.Active);
        vm.prank(party(1));
        registry.suspend(id);
    }

    function test_anyPartyRevokesAtAnyTimeAndForGood() public {
        bytes32[4] memory ids;
        R.Content memory what = content();
        ids[0] = registry.propose(what);
        what.termsHash = "signed";
        ids[1] = signed(what);
        what.termsHash = "active";
        ids[2] = active(what);
        what.termsHash = "suspended";
        ids[3] = active(what);
        vm.prank(party(0));
        registry.suspend(ids[3]);
        for (uint256 i; i < 4; ++i) {
            emits();
            emit R.AgreementRevoked(ids[i], party(i % 3));
            vm.prank(party(i % 3));
            registry.revoke(ids[i]);
            inState(ids[i], R.State.Revoked);
            vm.expectRevert(abi.encodeWithSelector(R.AgreementEnded.selector, ids[i], R.State.Revoked));
            vm.prank(party(0));
            registry.revoke(ids[i]);
        }
    }

    function test_revokeNeedsAPartyAndAnAgreementThatHasNotEnded() public {
        refuses(R.AgreementUnknown.selector, UNKNOWN);
        registry.revoke(UNKNOWN);
        bytes32 id = active();
        refuses(R.NotAParty.selector, id, OUTSIDER);
        vm.prank(OUTSIDER);
        registry.revoke(id);
        bytes32 next = active(successor(id));
        vm.expectRevert(abi.encodeWithSelector(R.AgreementEnded.selector, id, R.State.Superseded));
        vm.prank(party(0));
        registry.revoke(id);
        vm.warp(NOW + 1000);
        vm.expectRevert(abi.encodeWithSelector(R.AgreementEnded.selector, next, R.State.Expired));
        vm.prank(party(0));
        registry.revoke(next);
    }

    function test_nothingIsKnownOfWhatWasNotProposed() public view {
        R.View memory found = registry.agreement(UNKNOWN);
        check(found.state == R.State.Unknown && found.version == 0 && found.latest == 0, "something known");
        check(found.content.parties.length == 0 && found.content.validUntil == 0, "some contents");
    }

    function accounts(uint160 count) private pure returns (address[] memory found) {
        found = new address[](count);
        for (uint160 i; i < count; ++i) {
            found[i] = address(i + 1);
        }
    }

    function askers(uint160 count) private pure returns (R.Requester[] memory found) {
        found = new R.Requester[](count);
        for (uint160 i; i < count; ++i) {
            found[i] = R.Requester(address(i + 1), type(uint32).max);
        }
    }
}
