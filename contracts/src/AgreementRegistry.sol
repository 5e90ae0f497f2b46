// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IAgreementRegistry} from "./interfaces/IAgreementRegistry.sol";

/// @title Immutable registry of agreements
/// @notice No owner, no administrator, no upgrade: see docs/adr/0002-immutable-registry.md.
contract AgreementRegistry is IAgreementRegistry, EIP712 {
    /// @dev Bounds the loops; an agreement has at most five data parties and three nodes.
    uint256 private constant MAX_ACCOUNTS = 8;
    /// @dev Bounds the gas of one call; 128 authorisations cost about 3.5 million.
    uint256 private constant MAX_RUNS = 128;

    bytes32 private constant AGREEMENT_TYPEHASH = keccak256(
        "Agreement(bytes32 termsHash,address[] parties,address[] attestors,uint64 validFrom,uint64 validUntil,uint32 runQuota)"
    );

    struct Agreement {
        bytes32 termsHash;
        uint64 validFrom;
        uint64 validUntil;
        uint32 runQuota;
        uint32 runsUsed;
        uint8 signed;
        bool revoked;
        address[] parties;
        address[] attestors;
    }

    mapping(bytes32 id => Agreement) private _agreements;
    mapping(bytes32 id => mapping(bytes32 runId => uint32)) private _sequences;
    mapping(bytes32 id => mapping(bytes32 runId => mapping(address attestor => bytes32))) private _attestations;
    mapping(bytes32 id => mapping(bytes32 runId => bytes32)) private _commitments;

    constructor() EIP712("Winnow AgreementRegistry", "1") {}

    /// @inheritdoc IAgreementRegistry
    function propose(
        bytes32 termsHash,
        address[] calldata parties,
        address[] calldata attestors,
        uint64 validFrom,
        uint64 validUntil,
        uint32 runQuota
    ) external returns (bytes32 id) {
        if (termsHash == 0 || runQuota == 0) revert ZeroRefused();
        if (validFrom >= validUntil || validUntil <= block.timestamp) revert PeriodRefused(validFrom, validUntil);
        _checkAccounts(parties);
        _checkAccounts(attestors);
        id = _hashTypedDataV4(
            keccak256(
                abi.encode(
                    AGREEMENT_TYPEHASH,
                    termsHash,
                    keccak256(abi.encodePacked(parties)),
                    keccak256(abi.encodePacked(attestors)),
                    validFrom,
                    validUntil,
                    runQuota
                )
            )
        );
        Agreement storage found = _agreements[id];
        if (found.termsHash != 0) revert AgreementExists(id);
        found.termsHash = termsHash;
        found.validFrom = validFrom;
        found.validUntil = validUntil;
        found.runQuota = runQuota;
        found.parties = parties;
        found.attestors = attestors;
        emit AgreementProposed(id, termsHash, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function sign(bytes32 id, address party, bytes calldata signature) external {
        Agreement storage found = _known(id);
        uint256 index = _indexOf(found.parties, party);
        if (index == MAX_ACCOUNTS) revert NotAParty(id, party);
        uint8 bit = uint8(1 << index);
        if (found.signed & bit != 0) revert AlreadySigned(id, party);
        _require(id, found, State.Proposed);
        if (!SignatureChecker.isValidSignatureNow(party, id, signature)) revert SignatureRefused(id, party);
        found.signed |= bit;
        emit AgreementSigned(id, party);
        if (_complete(found)) emit AgreementCompleted(id);
    }

    /// @inheritdoc IAgreementRegistry
    function revoke(bytes32 id) external {
        Agreement storage found = _known(id);
        if (_indexOf(found.parties, msg.sender) == MAX_ACCOUNTS) revert NotAParty(id, msg.sender);
        if (found.revoked) revert AgreementNotInState(id, State.Revoked, State.Active);
        found.revoked = true;
        emit AgreementRevoked(id, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function authorise(bytes32 id, bytes32[] calldata runIds) external {
        if (runIds.length == 0 || runIds.length > MAX_RUNS) revert ListLengthRefused(runIds.length, MAX_RUNS);
        Agreement storage found = _attestable(id);
        _require(id, found, State.Active);
        if (block.timestamp < found.validFrom) revert AgreementNotYetValid(id, found.validFrom);
        uint32 used = found.runsUsed;
        for (uint256 i; i < runIds.length; ++i) {
            bytes32 runId = runIds[i];
            if (runId == 0) revert ZeroRefused();
            if (_sequences[id][runId] != 0) continue;
            if (used == found.runQuota) revert QuotaExhausted(id, used);
            _sequences[id][runId] = ++used;
            emit RunAuthorised(id, runId, used, msg.sender);
        }
        found.runsUsed = used;
    }

    /// @inheritdoc IAgreementRegistry
    function attest(bytes32 id, bytes32 runId, bytes32 attestation_) external {
        _attestable(id);
        if (attestation_ == 0) revert ZeroRefused();
        if (_sequences[id][runId] == 0) revert RunNotAuthorised(id, runId);
        if (_attestations[id][runId][msg.sender] != 0) revert AlreadyAttested(id, runId, msg.sender);
        _attestations[id][runId][msg.sender] = attestation_;
        emit RunAttested(id, runId, msg.sender, attestation_);
    }

    /// @inheritdoc IAgreementRegistry
    function commit(bytes32 id, bytes32 runId, bytes32 root) external {
        _attestable(id);
        if (root == 0) revert ZeroRefused();
        if (_sequences[id][runId] == 0) revert RunNotAuthorised(id, runId);
        if (_commitments[id][runId] != 0) revert AlreadyCommitted(id, runId);
        _commitments[id][runId] = root;
        emit RunCommitted(id, runId, root, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function agreement(bytes32 id) external view returns (View memory) {
        Agreement storage found = _agreements[id];
        return View({
            termsHash: found.termsHash,
            parties: found.parties,
            attestors: found.attestors,
            validFrom: found.validFrom,
            validUntil: found.validUntil,
            runQuota: found.runQuota,
            runsUsed: found.runsUsed,
            signed: found.signed,
            state: _state(found)
        });
    }

    /// @inheritdoc IAgreementRegistry
    function authorisations(bytes32 id, bytes32[] calldata runIds) external view returns (uint32[] memory found) {
        found = new uint32[](runIds.length);
        for (uint256 i; i < runIds.length; ++i) {
            found[i] = _sequences[id][runIds[i]];
        }
    }

    /// @inheritdoc IAgreementRegistry
    function attestation(bytes32 id, bytes32 runId, address attestor) external view returns (bytes32) {
        return _attestations[id][runId][attestor];
    }

    /// @inheritdoc IAgreementRegistry
    function commitment(bytes32 id, bytes32 runId) external view returns (bytes32) {
        return _commitments[id][runId];
    }

    function _known(bytes32 id) private view returns (Agreement storage found) {
        found = _agreements[id];
        if (found.termsHash == 0) revert AgreementUnknown(id);
    }

    function _attestable(bytes32 id) private view returns (Agreement storage found) {
        found = _known(id);
        if (_indexOf(found.attestors, msg.sender) == MAX_ACCOUNTS) revert NotAnAttestor(id, msg.sender);
    }

    function _require(bytes32 id, Agreement storage found, State required) private view {
        State state = _state(found);
        if (state != required) revert AgreementNotInState(id, state, required);
    }

    function _state(Agreement storage found) private view returns (State) {
        if (found.termsHash == 0) return State.Unknown;
        if (found.revoked) return State.Revoked;
        if (block.timestamp >= found.validUntil) return State.Expired;
        return _complete(found) ? State.Active : State.Proposed;
    }

    function _complete(Agreement storage found) private view returns (bool) {
        return found.signed == (1 << found.parties.length) - 1;
    }

    /// @return The account's place in the list, MAX_ACCOUNTS when it is not there.
    function _indexOf(address[] storage accounts, address account) private view returns (uint256) {
        uint256 length = accounts.length;
        for (uint256 i; i < length; ++i) {
            if (accounts[i] == account) return i;
        }
        return MAX_ACCOUNTS;
    }

    function _checkAccounts(address[] calldata accounts) private pure {
        uint256 length = accounts.length;
        if (length == 0 || length > MAX_ACCOUNTS) revert ListLengthRefused(length, MAX_ACCOUNTS);
        for (uint256 i; i < length; ++i) {
            if (accounts[i] == address(0)) revert AddressRefused(accounts[i]);
            for (uint256 j; j < i; ++j) {
                if (accounts[i] == accounts[j]) revert AddressRefused(accounts[i]);
            }
        }
    }
}
