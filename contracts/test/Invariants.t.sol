// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAgreementRegistry as R} from "../src/interfaces/IAgreementRegistry.sol";
import {Fixture} from "./Fixture.sol";
import {Handler} from "./Handler.sol";

/// @title What holds after any calls of anybody
contract InvariantsTest is Fixture {
    Handler private handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler(registry);
    }

    /// @dev forge asks for the contracts to call by this name.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_theRegistryDoesWhatItSays() public view {
        everyCallThatSucceededWasRightTo();
        for (uint256 i; i < handler.count(); ++i) {
            anAccountIsTheSumOfItsRuns(handler.agreements(i));
            aStateFollowsFromWhatWasDone(handler.agreements(i));
        }
    }

    /// @dev Signatures, states, quotas in force when a run was authorised, budgets, sequence numbers, releases.
    function everyCallThatSucceededWasRightTo() private view {
        string memory broken = handler.broken();
        check(bytes(broken).length == 0, broken);
    }

    function anAccountIsTheSumOfItsRuns(bytes32 id) private view {
        (uint256 runs, uint256 budget, uint256[2] memory used) = handler.added(handler.lineageOf(id));
        R.View memory found = registry.agreement(id);
        check(found.runsUsed == runs, "other runs than counted");
        check(found.budgetSpent == budget, "another budget than counted");
        for (uint256 j; j < found.requesterRunsUsed.length; ++j) {
            check(found.requesterRunsUsed[j] == used[j], "other runs of a requester than counted");
        }
    }

    /// @dev No terminal state is left: what is compared with has no way back.
    function aStateFollowsFromWhatWasDone(bytes32 id) private view {
        check(registry.agreement(id).state == handler.expected(id), "another state");
    }
}
