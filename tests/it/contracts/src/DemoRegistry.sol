// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Who may hold the demo's security token: wallet to identity and country, with
/// the events of an ERC-3643 identity registry. It deliberately has no claims,
/// trusted issuers or storage contract. For demonstration only.
contract DemoRegistry {
    event IdentityRegistered(address indexed investorAddress, address indexed identity);
    event IdentityRemoved(address indexed investorAddress, address indexed identity);
    event CountryUpdated(address indexed investorAddress, uint16 indexed country);

    error NotOwner();

    address public immutable owner;
    mapping(address => address) public identity;
    mapping(address => uint16) public investorCountry;

    constructor() {
        owner = msg.sender;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    function registerIdentity(address wallet, address id, uint16 country) external onlyOwner {
        identity[wallet] = id;
        investorCountry[wallet] = country;
        emit IdentityRegistered(wallet, id);
    }

    function updateCountry(address wallet, uint16 country) external onlyOwner {
        investorCountry[wallet] = country;
        emit CountryUpdated(wallet, country);
    }

    function deleteIdentity(address wallet) external onlyOwner {
        emit IdentityRemoved(wallet, identity[wallet]);
        delete identity[wallet];
        delete investorCountry[wallet];
    }

    function contains(address wallet) external view returns (bool) {
        return identity[wallet] != address(0);
    }

    function isVerified(address wallet) external view returns (bool) {
        return identity[wallet] != address(0);
    }
}
