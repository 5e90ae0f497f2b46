// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IAgreementRegistry} from "./interfaces/IAgreementRegistry.sol";

/// @title Immutable registry of agreements
/// @notice No owner, no administrator, no upgrade: see docs/adr/0002-immutable-registry.md and
/// docs/adr/0029-versions-suspension-and-budgets.md.
contract AgreementRegistry is IAgreementRegistry, EIP712 {
    /// @dev Bounds the loops; an agreement has at most five data parties and three nodes.
    uint256 private constant MAX_ACCOUNTS = 8;
    uint256 private constant MAX_REQUESTERS = 64;
    /// @dev Bounds the gas of one call.
    uint256 private constant MAX_RUNS = 128;

    bytes32 private constant REQUESTER_TYPEHASH = keccak256("Requester(address account,uint32 runQuota)");
    bytes32 private constant AGREEMENT_TYPEHASH = keccak256(
        "Agreement(bytes32 termsHash,bytes32 supersedes,address[] parties,address[] attestors,Requester[] requesters,uint64 validFrom,uint64 validUntil,uint32 runQuota,uint64 privacyBudget)Requester(address account,uint32 runQuota)"
    );

    /// @dev `state` holds what happened; time is added when it is read (`_state`).
    struct Agreement {
        Content content;
        bytes32 lineage;
        uint32 version;
        uint8 signed;
        uint8 suspended;
        bool activated;
        bool superseded;
        bool revoked;
    }

    /// @dev What the versions of a lineage have used in common.
    struct Account {
        bytes32 latest;
        uint32 sequence;
        uint32 runsUsed;
        uint64 budgetSpent;
        mapping(address requester => uint32) requesterRunsUsed;
    }

    struct Entry {
        uint32 sequence;
        uint64 budget;
        uint8 released;
        uint8 attested;
        Stage stage;
        address requester;
        bytes32 commitment;
    }

    struct Attestation {
        bytes32 blockHash;
        bytes32 transcript;
    }

    mapping(bytes32 id => Agreement) private _agreements;
    mapping(bytes32 lineage => Account) private _accounts;
    mapping(bytes32 id => mapping(bytes32 runId => Entry)) private _runs;
    mapping(bytes32 id => mapping(bytes32 runId => mapping(address attestor => Attestation))) private _attestations;

    constructor() EIP712("Winnow AgreementRegistry", "2") {}

    /// @inheritdoc IAgreementRegistry
    function propose(Content calldata content) external returns (bytes32 id) {
        if (content.termsHash == 0 || content.runQuota == 0) revert ZeroRefused();
        if (content.validFrom >= content.validUntil || content.validUntil <= block.timestamp) {
            revert PeriodRefused(content.validFrom, content.validUntil);
        }
        if (content.parties.length == 0) revert ListLengthRefused(0, MAX_ACCOUNTS);
        if (content.attestors.length == 0) revert ListLengthRefused(0, MAX_ACCOUNTS);
        _checkAccounts(content.parties);
        _checkAccounts(content.attestors);
        id = _hashTypedDataV4(_contentHash(content));
        Agreement storage found = _agreements[id];
        if (found.lineage != 0) revert AgreementExists(id);
        if (content.supersedes == 0) {
            found.lineage = id;
            found.version = 1;
        } else {
            Agreement storage earlier = _known(content.supersedes);
            _checkNobodyLeftOut(content.supersedes, earlier.content.parties, content.parties);
            found.lineage = earlier.lineage;
            found.version = earlier.version + 1;
        }
        _store(found.content, content);
        emit AgreementProposed(id, content.termsHash, content.supersedes, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function sign(bytes32 id, address party, bytes calldata signature) external {
        Agreement storage found = _known(id);
        uint8 bit = _partyBit(id, found, party);
        if (found.signed & bit != 0) revert AlreadySigned(id, party);
        _require(id, found, State.Proposed);
        if (!SignatureChecker.isValidSignatureNow(party, id, signature)) revert SignatureRefused(id, party);
        found.signed |= bit;
        emit AgreementSigned(id, party);
    }

    /// @inheritdoc IAgreementRegistry
    function activate(bytes32 id) external {
        Agreement storage found = _known(id);
        _partyBit(id, found, msg.sender);
        _require(id, found, State.Signed);
        Account storage account = _accounts[found.lineage];
        bytes32 supersedes = found.content.supersedes;
        if (account.latest != supersedes) revert AgreementNotLatest(supersedes, account.latest);
        found.activated = true;
        account.latest = id;
        emit AgreementActivated(id, found.version, msg.sender);
        if (supersedes != 0) _supersede(id, found, supersedes);
    }

    /// @inheritdoc IAgreementRegistry
    function suspend(bytes32 id) external {
        Agreement storage found = _known(id);
        uint8 bit = _partyBit(id, found, msg.sender);
        if (found.suspended & bit != 0) revert AlreadySuspended(id, msg.sender);
        if (_state(found) != State.Suspended) _require(id, found, State.Active);
        found.suspended |= bit;
        emit AgreementSuspended(id, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function resume(bytes32 id) external {
        Agreement storage found = _known(id);
        uint8 bit = _partyBit(id, found, msg.sender);
        if (found.suspended & bit == 0) revert NotSuspended(id, msg.sender);
        _require(id, found, State.Suspended);
        found.suspended &= ~bit;
        emit AgreementResumed(id, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function revoke(bytes32 id) external {
        Agreement storage found = _known(id);
        _partyBit(id, found, msg.sender);
        State state = _state(found);
        if (_ended(state)) revert AgreementEnded(id, state);
        found.revoked = true;
        emit AgreementRevoked(id, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function authorise(bytes32 id, Reservation[] calldata runs) external {
        if (runs.length == 0 || runs.length > MAX_RUNS) revert ListLengthRefused(runs.length, MAX_RUNS);
        Agreement storage found = _known(id);
        _attestorBit(id, found, msg.sender);
        _require(id, found, State.Active);
        if (block.timestamp < found.content.validFrom) revert AgreementNotYetValid(id, found.content.validFrom);
        for (uint256 i; i < runs.length; ++i) {
            _reserve(id, found, runs[i]);
        }
    }

    /// @inheritdoc IAgreementRegistry
    function release(bytes32 id, bytes32 runId, uint32 sequence) external {
        Agreement storage found = _known(id);
        uint8 bit = _attestorBit(id, found, msg.sender);
        Entry storage entry = _runs[id][runId];
        if (entry.stage != Stage.Authorised) revert RunNotInStage(id, runId, entry.stage);
        if (entry.sequence != sequence) revert SequenceRefused(id, runId, entry.sequence, sequence);
        if (entry.released & bit != 0) revert AlreadyGivenUp(id, runId, msg.sender);
        entry.released |= bit;
        emit RunGivenUp(id, runId, sequence, msg.sender);
        if (!_all(entry.released, found.content.attestors.length)) return;
        entry.stage = Stage.Released;
        Account storage account = _accounts[found.lineage];
        --account.runsUsed;
        account.budgetSpent -= entry.budget;
        if (entry.requester != address(0)) --account.requesterRunsUsed[entry.requester];
        emit RunReleased(id, runId, sequence);
    }

    /// @inheritdoc IAgreementRegistry
    function attest(bytes32 id, bytes32 runId, bytes32 blockHash, bytes32 transcript) external {
        Agreement storage found = _known(id);
        uint8 bit = _attestorBit(id, found, msg.sender);
        if (blockHash == 0 || transcript == 0) revert ZeroRefused();
        Entry storage entry = _runs[id][runId];
        if (entry.stage == Stage.Unknown || entry.stage == Stage.Released) revert RunNotInStage(id, runId, entry.stage);
        if (entry.released & bit != 0) revert AlreadyGivenUp(id, runId, msg.sender);
        if (entry.attested & bit != 0) revert AlreadyAttested(id, runId, msg.sender);
        entry.attested |= bit;
        if (entry.stage == Stage.Authorised) entry.stage = Stage.Attested;
        _attestations[id][runId][msg.sender] = Attestation(blockHash, transcript);
        emit RunAttested(id, runId, msg.sender, found.version, blockHash, transcript);
    }

    /// @inheritdoc IAgreementRegistry
    function commit(bytes32 id, bytes32 runId, bytes32 root) external {
        Agreement storage found = _known(id);
        _attestorBit(id, found, msg.sender);
        if (root == 0) revert ZeroRefused();
        Entry storage entry = _runs[id][runId];
        if (entry.stage == Stage.Committed) revert AlreadyCommitted(id, runId);
        if (entry.stage != Stage.Attested) revert RunNotInStage(id, runId, entry.stage);
        entry.stage = Stage.Committed;
        entry.commitment = root;
        emit RunCommitted(id, runId, root, msg.sender);
    }

    /// @inheritdoc IAgreementRegistry
    function agreement(bytes32 id) external view returns (View memory) {
        Agreement storage found = _agreements[id];
        Account storage account = _accounts[found.lineage];
        uint256 count = found.content.requesters.length;
        uint32[] memory used = new uint32[](count);
        for (uint256 i; i < count; ++i) {
            used[i] = account.requesterRunsUsed[found.content.requesters[i].account];
        }
        return View({
            content: found.content,
            state: _state(found),
            version: found.version,
            signed: found.signed,
            suspended: found.suspended,
            latest: account.latest,
            runsUsed: account.runsUsed,
            budgetSpent: account.budgetSpent,
            requesterRunsUsed: used
        });
    }

    /// @inheritdoc IAgreementRegistry
    function authorisations(bytes32 id, bytes32[] calldata runIds) external view returns (uint32[] memory found) {
        found = new uint32[](runIds.length);
        for (uint256 i; i < runIds.length; ++i) {
            Entry storage entry = _runs[id][runIds[i]];
            if (entry.stage != Stage.Released) found[i] = entry.sequence;
        }
    }

    /// @inheritdoc IAgreementRegistry
    function run(bytes32 id, bytes32 runId) external view returns (Run memory) {
        Entry storage entry = _runs[id][runId];
        return Run({
            stage: entry.stage,
            sequence: entry.sequence,
            reservation: Reservation(runId, entry.requester, entry.budget),
            released: entry.released,
            attested: entry.attested,
            commitment: entry.commitment
        });
    }

    /// @inheritdoc IAgreementRegistry
    function attestation(bytes32 id, bytes32 runId, address attestor) external view returns (bytes32, bytes32) {
        Attestation storage found = _attestations[id][runId][attestor];
        return (found.blockHash, found.transcript);
    }

    /// @dev Who signed the successor may have done so before it suspended or revoked: neither may be got round by
    /// bringing the successor into force.
    function _supersede(bytes32 id, Agreement storage found, bytes32 supersedes) private {
        Agreement storage earlier = _agreements[supersedes];
        State state = _state(earlier);
        if (state == State.Revoked) revert AgreementEnded(supersedes, state);
        uint256 length = earlier.content.parties.length;
        for (uint256 i; i < length; ++i) {
            if (earlier.suspended & (1 << i) != 0) {
                address party = earlier.content.parties[i];
                found.suspended |= _partyBit(id, found, party);
                emit AgreementSuspended(id, party);
            }
        }
        if (_ended(state)) return;
        earlier.superseded = true;
        emit AgreementSuperseded(supersedes, id);
    }

    /// @dev Counts a run, unless it is authorised already.
    function _reserve(bytes32 id, Agreement storage found, Reservation calldata asked) private {
        if (asked.runId == 0) revert ZeroRefused();
        Entry storage entry = _runs[id][asked.runId];
        if (entry.stage != Stage.Unknown && entry.stage != Stage.Released) {
            if (entry.requester != asked.requester || entry.budget != asked.budget) revert RunDiffers(id, asked.runId);
            return;
        }
        Account storage account = _accounts[found.lineage];
        if (account.runsUsed >= found.content.runQuota) revert QuotaExhausted(id, found.content.runQuota);
        uint64 budget = found.content.privacyBudget;
        uint64 left = budget > account.budgetSpent ? budget - account.budgetSpent : 0;
        if (asked.budget > left) revert BudgetExhausted(id, left, asked.budget);
        if (asked.requester != address(0)) {
            uint32 quota = _requesterQuota(id, found, asked.requester);
            uint32 used = account.requesterRunsUsed[asked.requester];
            if (used >= quota) revert RequesterQuotaExhausted(id, asked.requester, quota);
            account.requesterRunsUsed[asked.requester] = used + 1;
        }
        ++account.runsUsed;
        account.budgetSpent += asked.budget;
        entry.sequence = ++account.sequence;
        entry.stage = Stage.Authorised;
        entry.released = 0;
        entry.requester = asked.requester;
        entry.budget = asked.budget;
        emit RunAuthorised(id, asked.runId, entry.sequence, asked.requester, asked.budget, msg.sender);
    }

    function _known(bytes32 id) private view returns (Agreement storage found) {
        found = _agreements[id];
        if (found.lineage == 0) revert AgreementUnknown(id);
    }

    function _require(bytes32 id, Agreement storage found, State required) private view {
        State state = _state(found);
        if (state != required) revert AgreementNotInState(id, state, required);
    }

    function _state(Agreement storage found) private view returns (State) {
        if (found.lineage == 0) return State.Unknown;
        if (found.revoked) return State.Revoked;
        if (found.superseded) return State.Superseded;
        if (block.timestamp >= found.content.validUntil) return State.Expired;
        if (found.activated) return found.suspended == 0 ? State.Active : State.Suspended;
        return _all(found.signed, found.content.parties.length) ? State.Signed : State.Proposed;
    }

    function _ended(State state) private pure returns (bool) {
        return state == State.Superseded || state == State.Revoked || state == State.Expired;
    }

    function _all(uint8 bits, uint256 count) private pure returns (bool) {
        return bits == (1 << count) - 1;
    }

    function _partyBit(bytes32 id, Agreement storage found, address account) private view returns (uint8) {
        uint256 index = _indexOf(found.content.parties, account);
        if (index == MAX_ACCOUNTS) revert NotAParty(id, account);
        return uint8(1 << index);
    }

    function _attestorBit(bytes32 id, Agreement storage found, address account) private view returns (uint8) {
        uint256 index = _indexOf(found.content.attestors, account);
        if (index == MAX_ACCOUNTS) revert NotAnAttestor(id, account);
        return uint8(1 << index);
    }

    function _requesterQuota(bytes32 id, Agreement storage found, address account) private view returns (uint32) {
        Requester[] storage requesters = found.content.requesters;
        uint256 length = requesters.length;
        for (uint256 i; i < length; ++i) {
            if (requesters[i].account == account) return requesters[i].runQuota;
        }
        revert NotARequester(id, account);
    }

    /// @return The account's place in the list, MAX_ACCOUNTS when it is not there.
    function _indexOf(address[] storage accounts, address account) private view returns (uint256) {
        uint256 length = accounts.length;
        for (uint256 i; i < length; ++i) {
            if (accounts[i] == account) return i;
        }
        return MAX_ACCOUNTS;
    }

    /// @dev By OpenZeppelin's and EIP-712's rules: a list is the hash of its members' words or hashes.
    function _contentHash(Content calldata content) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                AGREEMENT_TYPEHASH,
                content.termsHash,
                content.supersedes,
                keccak256(abi.encodePacked(content.parties)),
                keccak256(abi.encodePacked(content.attestors)),
                _requestersHash(content.requesters),
                content.validFrom,
                content.validUntil,
                content.runQuota,
                content.privacyBudget
            )
        );
    }

    /// @dev Refuses accounts that do not ascend, and so zero and repeated ones, and quotas of 0.
    function _requestersHash(Requester[] calldata requesters) private pure returns (bytes32) {
        uint256 length = requesters.length;
        if (length > MAX_REQUESTERS) revert ListLengthRefused(length, MAX_REQUESTERS);
        bytes32[] memory hashes = new bytes32[](length);
        address last;
        for (uint256 i; i < length; ++i) {
            address account = requesters[i].account;
            if (account <= last) revert AddressRefused(account);
            if (requesters[i].runQuota == 0) revert ZeroRefused();
            last = account;
            hashes[i] = keccak256(abi.encode(REQUESTER_TYPEHASH, account, requesters[i].runQuota));
        }
        return keccak256(abi.encodePacked(hashes));
    }

    function _store(Content storage into, Content calldata content) private {
        into.termsHash = content.termsHash;
        into.supersedes = content.supersedes;
        into.parties = content.parties;
        into.attestors = content.attestors;
        for (uint256 i; i < content.requesters.length; ++i) {
            into.requesters.push(content.requesters[i]);
        }
        into.validFrom = content.validFrom;
        into.validUntil = content.validUntil;
        into.runQuota = content.runQuota;
        into.privacyBudget = content.privacyBudget;
    }

    function _checkNobodyLeftOut(bytes32 supersedes, address[] storage earlier, address[] calldata parties)
        private
        view
    {
        uint256 length = earlier.length;
        for (uint256 i; i < length; ++i) {
            bool there;
            for (uint256 j; j < parties.length; ++j) {
                if (parties[j] == earlier[i]) there = true;
            }
            if (!there) revert PartyLeftOut(supersedes, earlier[i]);
        }
    }

    function _checkAccounts(address[] calldata accounts) private pure {
        uint256 length = accounts.length;
        if (length > MAX_ACCOUNTS) revert ListLengthRefused(length, MAX_ACCOUNTS);
        for (uint256 i; i < length; ++i) {
            if (accounts[i] == address(0)) revert AddressRefused(accounts[i]);
            for (uint256 j; j < i; ++j) {
                if (accounts[i] == accounts[j]) revert AddressRefused(accounts[i]);
            }
        }
    }
}
