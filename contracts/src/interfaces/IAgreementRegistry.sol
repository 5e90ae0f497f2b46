// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Registry of data-use agreements and of the runs made under them
/// @notice Holds hashes, addresses, times and counters only: no data, no names, nothing about a patient.
/// An agreement's id is its EIP-712 digest over chain id, contract and contents, so a signature is valid
/// for one content in one registry. Versions that supersede each other form a lineage, which has one account of runs
/// used and of privacy budget spent: a new version changes what may be used in all, not what has been.
interface IAgreementRegistry {
    /// @notice Where an agreement stands at the time of the block. Superseded, Revoked and Expired are terminal.
    /// Signed: by all, not activated. Active: it may still lie before its first second.
    enum State {
        Unknown,
        Proposed,
        Signed,
        Active,
        Suspended,
        Superseded,
        Revoked,
        Expired
    }

    /// @notice Where a run stands. Released: all attestors gave it up before any of them attested.
    enum Stage {
        Unknown,
        Authorised,
        Released,
        Attested,
        Committed
    }

    /// @notice Somebody who may have runs made on demand.
    /// @param account Whose runs are counted.
    /// @param runQuota Most of them under the lineage.
    struct Requester {
        address account;
        uint32 runQuota;
    }

    /// @notice What the parties sign.
    /// @param termsHash SHA-256 of the canonical terms.
    /// @param supersedes The agreement that this one replaces and whose account it takes over; 0: none.
    /// @param parties Whose signatures it needs, in the order of the bits of `signed`.
    /// @param attestors Who may authorise, attest, commit and release.
    /// @param requesters Who may have runs made on demand, by ascending account; may be nobody.
    /// @param validFrom First second (Unix time) at which runs may be authorised.
    /// @param validUntil First second at which they no longer may.
    /// @param runQuota Most runs of the lineage.
    /// @param privacyBudget Most that the lineage's runs may spend, in the unit that the terms say; 0: none spends any.
    struct Content {
        bytes32 termsHash;
        bytes32 supersedes;
        address[] parties;
        address[] attestors;
        Requester[] requesters;
        uint64 validFrom;
        uint64 validUntil;
        uint32 runQuota;
        uint64 privacyBudget;
    }

    /// @notice An agreement as the chain knows it.
    /// @param content What the parties sign.
    /// @param state At the time of the block that is read.
    /// @param version Its place in the lineage, from 1 on.
    /// @param signed Bit i is set when parties[i] has signed.
    /// @param suspended Bit i is set while parties[i] suspends it.
    /// @param latest The last version of the lineage that came into force; 0: none has.
    /// @param runsUsed Runs of the lineage that count.
    /// @param budgetSpent Privacy budget that they reserved or spent.
    /// @param requesterRunsUsed Of each requester, runs that count.
    struct View {
        Content content;
        State state;
        uint32 version;
        uint256 signed;
        uint256 suspended;
        bytes32 latest;
        uint32 runsUsed;
        uint64 budgetSpent;
        uint32[] requesterRunsUsed;
    }

    /// @notice A run to be authorised.
    /// @param runId Not 0.
    /// @param requester On whose demand it is made; the zero address: on schedule.
    /// @param budget Privacy budget that it reserves.
    struct Reservation {
        bytes32 runId;
        address requester;
        uint64 budget;
    }

    /// @notice A run as the chain knows it.
    /// @param stage Where it stands.
    /// @param sequence Counts the lineage's authorisations from 1 on; that of the last one.
    /// @param reservation As it was last authorised.
    /// @param released Bit i is set when attestors[i] gave it up since then.
    /// @param attested Bit i is set when attestors[i] attested.
    /// @param commitment Root of its outputs; 0: none.
    struct Run {
        Stage stage;
        uint32 sequence;
        Reservation reservation;
        uint256 released;
        uint256 attested;
        bytes32 commitment;
    }

    /// @notice An agreement was written down; it needs every party's signature.
    event AgreementProposed(
        bytes32 indexed id, bytes32 indexed termsHash, bytes32 indexed supersedes, address proposer
    );
    /// @notice A party signed.
    event AgreementSigned(bytes32 indexed id, address indexed party);
    /// @notice The agreement came into force.
    event AgreementActivated(bytes32 indexed id, uint32 version, address indexed party);
    /// @notice A later version came into force instead.
    event AgreementSuperseded(bytes32 indexed id, bytes32 indexed successor);
    /// @notice A party suspended the agreement; it stays so until that party resumes it.
    event AgreementSuspended(bytes32 indexed id, address indexed party);
    /// @notice A party ended its suspension.
    event AgreementResumed(bytes32 indexed id, address indexed party);
    /// @notice A party withdrew from the agreement, for good.
    event AgreementRevoked(bytes32 indexed id, address indexed party);
    /// @notice A run may take place.
    event RunAuthorised(
        bytes32 indexed id,
        bytes32 indexed runId,
        uint32 sequence,
        address indexed requester,
        uint64 budget,
        address attestor
    );
    /// @notice An attestor stated that it will not open anything of a run.
    event RunGivenUp(bytes32 indexed id, bytes32 indexed runId, uint32 sequence, address indexed attestor);
    /// @notice All attestors gave a run up: what it reserved is free again.
    event RunReleased(bytes32 indexed id, bytes32 indexed runId, uint32 sequence);
    /// @notice An attestor stated what it checked for a run, at which block.
    event RunAttested(
        bytes32 indexed id,
        bytes32 indexed runId,
        address indexed attestor,
        uint32 version,
        bytes32 blockHash,
        bytes32 transcript
    );
    /// @notice The root of a run's outputs was recorded.
    event RunCommitted(bytes32 indexed id, bytes32 indexed runId, bytes32 root, address indexed attestor);

    /// @notice Nothing was proposed under this id.
    error AgreementUnknown(bytes32 id);
    /// @notice The same content was proposed before.
    error AgreementExists(bytes32 id);
    /// @notice The call needs another state.
    error AgreementNotInState(bytes32 id, State found, State required);
    /// @notice The agreement has ended for good.
    error AgreementEnded(bytes32 id, State found);
    /// @notice Runs may be authorised from `validFrom` on.
    error AgreementNotYetValid(bytes32 id, uint64 validFrom);
    /// @notice The agreement to be superseded is not the last version in force of its lineage.
    error AgreementNotLatest(bytes32 id, bytes32 latest);
    /// @notice A party of the agreement to be superseded is not a party of the new one.
    error PartyLeftOut(bytes32 supersedes, address party);
    /// @notice A list is longer than `most`, or empty and may not be.
    error ListLengthRefused(uint256 found, uint256 most);
    /// @notice An address is zero or stands twice in a list, or a requester's does not come after the one before.
    error AddressRefused(address account);
    /// @notice The period is empty or already over.
    error PeriodRefused(uint64 validFrom, uint64 validUntil);
    /// @notice A hash, a run id or a quota is zero, which means "none".
    error ZeroRefused();
    /// @notice The account is not a party of the agreement.
    error NotAParty(bytes32 id, address account);
    /// @notice The account is not an attestor of the agreement.
    error NotAnAttestor(bytes32 id, address account);
    /// @notice The account is not a requester of the agreement.
    error NotARequester(bytes32 id, address account);
    /// @notice The party has signed before.
    error AlreadySigned(bytes32 id, address party);
    /// @notice The signature is not the party's, or is for another content, contract or chain.
    error SignatureRefused(bytes32 id, address party);
    /// @notice The party suspends the agreement already.
    error AlreadySuspended(bytes32 id, address party);
    /// @notice The party does not suspend the agreement.
    error NotSuspended(bytes32 id, address party);
    /// @notice The lineage's runs are used up.
    error QuotaExhausted(bytes32 id, uint32 quota);
    /// @notice The requester's runs are used up.
    error RequesterQuotaExhausted(bytes32 id, address requester, uint32 quota);
    /// @notice The run would spend more of the privacy budget than is left.
    error BudgetExhausted(bytes32 id, uint64 left, uint64 asked);
    /// @notice The run is authorised already, for another requester or another budget.
    error RunDiffers(bytes32 id, bytes32 runId);
    /// @notice The call needs another stage of the run.
    error RunNotInStage(bytes32 id, bytes32 runId, Stage found);
    /// @notice The run was authorised again since.
    error SequenceRefused(bytes32 id, bytes32 runId, uint32 found, uint32 asked);
    /// @notice The attestor gave this run up and cannot attest to it.
    error AlreadyGivenUp(bytes32 id, bytes32 runId, address attestor);
    /// @notice The attestor has attested to this run before.
    error AlreadyAttested(bytes32 id, bytes32 runId, address attestor);
    /// @notice The run has a root.
    error AlreadyCommitted(bytes32 id, bytes32 runId);

    /// @notice Write an agreement down. Anyone may: it means nothing before all parties have signed.
    /// One that supersedes another needs all of its parties, and others may join.
    /// @return id The EIP-712 digest that the parties sign.
    function propose(Content calldata content) external returns (bytes32 id);

    /// @notice Bring in a party's signature of `id`: of its key, or ERC-1271 if the party is a contract.
    /// Anyone may relay it.
    function sign(bytes32 id, address party, bytes calldata signature) external;

    /// @notice Bring a signed agreement into force; the caller must be a party. What it supersedes must be the last
    /// version that came into force, and not revoked. Who suspends that one suspends its successor, too.
    function activate(bytes32 id) external;

    /// @notice Stop authorisations until the same party resumes; the caller must be a party, the agreement in force.
    function suspend(bytes32 id) external;

    /// @notice End the caller's suspension. The agreement is active again when no party suspends it.
    function resume(bytes32 id) external;

    /// @notice End the agreement at once and for good; the caller must be a party. No version can supersede it then.
    function revoke(bytes32 id) external;

    /// @notice Authorise runs and reserve quota and privacy budget, for all of them or for none; the caller must be an
    /// attestor, the agreement active and within its period.
    /// A run that is authorised already keeps its number and is not counted again; a released one is.
    function authorise(bytes32 id, Reservation[] calldata runs) external;

    /// @notice State that the caller, an attestor, will open nothing of a run that was authorised under this sequence
    /// number. When all attestors have, quota and budget are free again. Not bound to the agreement's state.
    /// Who gave a run up cannot attest to it, and nobody can give up a run to which somebody attested: a budget that
    /// may have been spent is never returned.
    function release(bytes32 id, bytes32 runId, uint32 sequence) external;

    /// @notice Record what an attestor checked for a run, once per attestor, before it opens anything.
    /// Not bound to the agreement's state: evidence of what was done stays welcome after its end.
    /// @param blockHash The final block at which it found the run permitted.
    /// @param transcript What it computes.
    function attest(bytes32 id, bytes32 runId, bytes32 blockHash, bytes32 transcript) external;

    /// @notice Record the root of an attested run's outputs, once. Not bound to the agreement's state.
    function commit(bytes32 id, bytes32 runId, bytes32 root) external;

    /// @notice Everything about an agreement; `state` is Unknown when there is none.
    function agreement(bytes32 id) external view returns (View memory);

    /// @notice Sequence numbers of runs, 0 where not authorised or released.
    function authorisations(bytes32 id, bytes32[] calldata runIds) external view returns (uint32[] memory);

    /// @notice Everything about a run; `stage` is Unknown when it was never authorised.
    function run(bytes32 id, bytes32 runId) external view returns (Run memory);

    /// @notice What an attestor recorded for a run, zeros when nothing.
    function attestation(bytes32 id, bytes32 runId, address attestor)
        external
        view
        returns (bytes32 blockHash, bytes32 transcript);
}
