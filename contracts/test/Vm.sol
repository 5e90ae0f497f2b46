// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the tests use of forge's cheat codes
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function chainId(uint256 value) external;
    function deployCode(string calldata artifact) external returns (address);
    function envOr(string calldata name, string calldata otherwise) external view returns (string memory);
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata data) external;
    function load(address account, bytes32 slot) external view returns (bytes32);
    function prank(address sender) external;
    function revertToState(uint256 snapshot) external returns (bool);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotState() external returns (uint256);
    function store(address account, bytes32 slot, bytes32 value) external;
    function warp(uint256 time) external;
}
