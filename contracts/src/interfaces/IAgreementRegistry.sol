// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Registry of data-use agreements and of the runs made under them
/// @notice Holds hashes, addresses, times and counters only: no data, no names, nothing about a patient.
/// An agreement's id is its EIP-712 digest over chain id, contract and contents, so a signature is valid
/// for one content in one registry.
interface IAgreementRegistry {
    /// @notice Where an agreement stands at the time of the block. Active: signed by all, not revoked, not over;
    /// it may still lie before its first second.
    enum State {
        Unknown,
        Proposed,
        Active,
        Revoked,
        Expired
    }

    /// @notice An agreement as the chain knows it.
    /// @param termsHash SHA-256 of the canonical terms.
    /// @param parties Whose signatures it needs, in the order of the bits of `signed`.
    /// @param attestors Who may authorise, attest and commit.
    /// @param validFrom First second (Unix time) at which runs may be authorised.
    /// @param validUntil First second at which they no longer may.
    /// @param runQuota Most runs that may ever be authorised.
    /// @param runsUsed Runs authorised so far.
    /// @param signed Bit i is set when parties[i] has signed.
    /// @param state At the time of the block that is read.
    struct View {
        bytes32 termsHash;
        address[] parties;
        address[] attestors;
        uint64 validFrom;
        uint64 validUntil;
        uint32 runQuota;
        uint32 runsUsed;
        uint256 signed;
        State state;
    }

    /// @notice An agreement was written down; it needs every party's signature.
    event AgreementProposed(bytes32 indexed id, bytes32 indexed termsHash, address indexed proposer);
    /// @notice A party signed.
    event AgreementSigned(bytes32 indexed id, address indexed party);
    /// @notice The last party signed.
    event AgreementCompleted(bytes32 indexed id);
    /// @notice A party withdrew from the agreement, for good.
    event AgreementRevoked(bytes32 indexed id, address indexed party);
    /// @notice A run may take place; `sequence` counts the agreement's runs from 1.
    event RunAuthorised(bytes32 indexed id, bytes32 indexed runId, uint32 sequence, address indexed attestor);
    /// @notice An attestor stated what it checked for a run.
    event RunAttested(bytes32 indexed id, bytes32 indexed runId, address indexed attestor, bytes32 attestation);
    /// @notice The root of a run's outputs was recorded.
    event RunCommitted(bytes32 indexed id, bytes32 indexed runId, bytes32 root, address indexed attestor);

    /// @notice Nothing was proposed under this id.
    error AgreementUnknown(bytes32 id);
    /// @notice The same content was proposed before.
    error AgreementExists(bytes32 id);
    /// @notice The call needs another state.
    error AgreementNotInState(bytes32 id, State found, State required);
    /// @notice Runs may be authorised from `validFrom` on.
    error AgreementNotYetValid(bytes32 id, uint64 validFrom);
    /// @notice A list of parties, attestors or runs is empty or longer than `most`.
    error ListLengthRefused(uint256 found, uint256 most);
    /// @notice An address is zero or stands twice in a list.
    error AddressRefused(address account);
    /// @notice The period is empty or already over.
    error PeriodRefused(uint64 validFrom, uint64 validUntil);
    /// @notice A hash, a run id or the quota is zero, which means "none".
    error ZeroRefused();
    /// @notice The account is not a party of the agreement.
    error NotAParty(bytes32 id, address account);
    /// @notice The account is not an attestor of the agreement.
    error NotAnAttestor(bytes32 id, address account);
    /// @notice The party has signed before.
    error AlreadySigned(bytes32 id, address party);
    /// @notice The signature is not the party's, or is for another content, contract or chain.
    error SignatureRefused(bytes32 id, address party);
    /// @notice The agreement's runs are used up.
    error QuotaExhausted(bytes32 id, uint32 quota);
    /// @notice The run was never authorised.
    error RunNotAuthorised(bytes32 id, bytes32 runId);
    /// @notice The attestor has attested to this run before.
    error AlreadyAttested(bytes32 id, bytes32 runId, address attestor);
    /// @notice The run has a root.
    error AlreadyCommitted(bytes32 id, bytes32 runId);

    /// @notice Write an agreement down. Anyone may: it means nothing before all parties have signed.
    /// @return id The EIP-712 digest that the parties sign.
    function propose(
        bytes32 termsHash,
        address[] calldata parties,
        address[] calldata attestors,
        uint64 validFrom,
        uint64 validUntil,
        uint32 runQuota
    ) external returns (bytes32 id);

    /// @notice Bring in a party's signature of `id`. Anyone may relay it.
    function sign(bytes32 id, address party, bytes calldata signature) external;

    /// @notice End the agreement at once and for good; the caller must be a party.
    function revoke(bytes32 id) external;

    /// @notice Authorise runs and count them; the caller must be an attestor, the agreement active
    /// and within its period.
    /// A run that is authorised already keeps its number and is not counted again.
    function authorise(bytes32 id, bytes32[] calldata runIds) external;

    /// @notice Record what an attestor checked for an authorised run, once per attestor.
    /// Not bound to the agreement's state: evidence of what was done stays welcome after its end.
    function attest(bytes32 id, bytes32 runId, bytes32 attestation) external;

    /// @notice Record the root of an authorised run's outputs, once. Not bound to the agreement's state.
    function commit(bytes32 id, bytes32 runId, bytes32 root) external;

    /// @notice Everything about an agreement; `state` is Unknown when there is none.
    function agreement(bytes32 id) external view returns (View memory);

    /// @notice Sequence numbers of runs, 0 where not authorised.
    function authorisations(bytes32 id, bytes32[] calldata runIds) external view returns (uint32[] memory);

    /// @notice What an attestor recorded for a run, 0 when nothing.
    function attestation(bytes32 id, bytes32 runId, address attestor) external view returns (bytes32);

    /// @notice The root of a run's outputs, 0 when none.
    function commitment(bytes32 id, bytes32 runId) external view returns (bytes32);
}
