// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// The transfer rules of the demo's security token: none but a bound token, with
/// the events of an ERC-3643 compliance contract. It deliberately allows every
/// transfer between verified holders. For demonstration only.
contract DemoCompliance {
    event TokenBound(address token);
    event TokenUnbound(address token);

    error AlreadyBound(address token);

    address public getTokenBound;

    function bindToken(address token) external {
        if (getTokenBound != address(0)) revert AlreadyBound(getTokenBound);
        getTokenBound = token;
        emit TokenBound(token);
    }

    function isTokenBound(address token) external view returns (bool) {
        return token == getTokenBound;
    }

    function canTransfer(address, address, uint256) external pure returns (bool) {
        return true;
    }
}
