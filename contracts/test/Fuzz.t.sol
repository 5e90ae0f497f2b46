// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry as R} from "../src/interfaces/IAgreementRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @title Signatures and arithmetic over values that nobody chose
contract FuzzTest is Fixture {
    /// @dev Where the registry keeps its accounts; a test fails when that moves.
    uint256 private constant ACCOUNTS_SLOT = 3;

    function testFuzz_aSignatureHoldsForNoOtherContents(uint8 field, uint64 value) public {
        R.Content memory what = content();
        R.Content memory other = changed(field, value);
        bytes32 id = registry.propose(what);
        if (keccak256(abi.encode(other)) == keccak256(abi.encode(what))) return;
        bytes32 different = idOf(other);
        check(different != id, "one id for two contents");
        refuses(R.SignatureRefused.selector, id, party(0));
        registry.sign(id, party(0), signature(keys[0], different));
        sign(id, 0);
    }

    function testFuzz_aSignatureHoldsForNoOtherChain(uint64 chain) public {
        R.Content memory what = content();
        if (chain == block.chainid || chain == 0) return;
        uint256 here = block.chainid;
        bytes32 id = registry.propose(what);
        vm.chainId(chain);
        bytes32 different = idOf(what);
        vm.chainId(here);
        check(different != id, "one id on two chains");
        refuses(R.SignatureRefused.selector, id, party(1));
        registry.sign(id, party(1), signature(keys[1], different));
    }

    function test_aSignatureHoldsForNoOtherRegistry() public {
        bytes32 id = registry.propose(content());
        bytes32 different = deploy().propose(content());
        check(different != id, "one id in two registries");
        refuses(R.SignatureRefused.selector, id, party(1));
        registry.sign(id, party(1), signature(keys[1], different));
    }

    function testFuzz_nobodyElsesSignatureCounts(uint256 key, uint8 which) public {
        key = 1 + key % 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140;
        uint256 place = which % 3;
        if (key == keys[place]) return;
        bytes32 id = registry.propose(content());
        refuses(R.SignatureRefused.selector, id, party(place));
        registry.sign(id, party(place), signature(key, id));
    }

    function testFuzz_arbitraryBytesAreNoSignature(bytes calldata raw) public {
        bytes32 id = registry.propose(content());
        refuses(R.SignatureRefused.selector, id, party(0));
        registry.sign(id, party(0), raw);
    }

    function testFuzz_theQuotaHoldsUpToTheLastRun(uint32 quota, uint32 used) public {
        if (quota == 0) return;
        R.Content memory what = content();
        what.runQuota = quota;
        bytes32 id = active(what);
        setAccount(id, 7, used, 0);
        if (used >= quota) vm.expectRevert(abi.encodeWithSelector(R.QuotaExhausted.selector, id, quota));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", address(0), 0));
        check(registry.agreement(id).runsUsed == (used < quota ? used + 1 : used), "counted otherwise");
    }

    function test_theLargestQuotaHolds() public {
        testFuzz_theQuotaHoldsUpToTheLastRun(type(uint32).max, type(uint32).max - 1);
    }

    function test_beyondTheLargestQuotaIsNothing() public {
        testFuzz_theQuotaHoldsUpToTheLastRun(type(uint32).max, type(uint32).max);
    }

    function testFuzz_theBudgetHoldsToTheUnit(uint64 budget, uint64 spent, uint64 asked) public {
        R.Content memory what = content();
        what.privacyBudget = budget;
        bytes32 id = active(what);
        setAccount(id, 0, 0, spent);
        uint64 left = budget > spent ? budget - spent : 0;
        if (asked > left) vm.expectRevert(abi.encodeWithSelector(R.BudgetExhausted.selector, id, left, asked));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", address(0), asked));
        check(registry.agreement(id).budgetSpent == (asked > left ? spent : spent + asked), "spent otherwise");
        if (asked > left) return;
        release(id, "a");
        check(registry.agreement(id).budgetSpent == spent, "given back otherwise");
    }

    function test_theLargestBudgetHolds() public {
        uint64 most = type(uint64).max;
        testFuzz_theBudgetHoldsToTheUnit(most, 0, most);
    }

    function test_theLargestBudgetHoldsToTheLastUnit() public {
        uint64 most = type(uint64).max;
        testFuzz_theBudgetHoldsToTheUnit(most, most - 1, 2);
    }

    function testFuzz_aRequestersQuotaHolds(uint8 quota, uint8 asked) public {
        R.Content memory what = content();
        what.runQuota = 1000;
        what.requesters[0].runQuota = uint32(quota) % 8 + 1;
        bytes32 id = active(what);
        uint256 runs = asked % 12;
        for (uint256 i; i < runs; ++i) {
            bool refused = i >= what.requesters[0].runQuota;
            if (refused) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        R.RequesterQuotaExhausted.selector, id, requesters[0], what.requesters[0].runQuota
                    )
                );
            }
            vm.prank(attestors[0]);
            registry.authorise(id, one(bytes32(i + 1), requesters[0], 0));
            check(registry.agreement(id).requesterRunsUsed[0] == (refused ? what.requesters[0].runQuota : i + 1), "counted");
            check(registry.agreement(id).requesterRunsUsed[1] == 0, "counted against another");
        }
    }

    function test_sequenceNumbersNeverBeginAgain() public {
        bytes32 id = active();
        setAccount(id, type(uint32).max, 0, 0);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        vm.prank(attestors[0]);
        registry.authorise(id, one("a", address(0), 0));
    }

    function changed(uint8 field, uint64 value) private view returns (R.Content memory what) {
        what = content();
        field %= 10;
        if (field == 0) what.termsHash = keccak256(abi.encode(value));
        else if (field == 1) what.parties[1] = address(uint160(value) + 1);
        else if (field == 2) what.attestors[value % 3] = address(uint160(value) + 0xF00);
        else if (field == 3) what.requesters[1].account = address(uint160(value) + 0xC2);
        else if (field == 4) what.requesters[value % 2].runQuota = uint32(value % type(uint32).max) + 1;
        else if (field == 5) what.validFrom = value % what.validUntil;
        else if (field == 6) what.validUntil = what.validUntil + value % 1e9;
        else if (field == 7) what.runQuota = uint32(value % type(uint32).max) + 1;
        else if (field == 8) what.privacyBudget = value;
        else (what.parties[0], what.parties[2]) = (what.parties[2], what.parties[0]);
    }

    /// @dev As no test could reach by calls: the words of an account as the compiler lays them out.
    function setAccount(bytes32 id, uint32 sequence, uint32 runs, uint64 spent) private {
        bytes32 account = keccak256(abi.encode(id, ACCOUNTS_SLOT));
        check(vm.load(address(registry), account) == id, "accounts are kept elsewhere");
        bytes32 word = bytes32(uint256(sequence) | uint256(runs) << 32 | uint256(spent) << 64);
        vm.store(address(registry), bytes32(uint256(account) + 1), word);
        R.View memory found = registry.agreement(id);
        check(found.runsUsed == runs && found.budgetSpent == spent, "accounts are laid out otherwise");
    }
}
