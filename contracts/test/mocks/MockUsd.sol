// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title A payment token for tests and the demo: 6 decimals, anyone mints
contract MockUsd is ERC20Permit {
    constructor() ERC20("Mock USD", "mUSD") ERC20Permit("Mock USD") {}

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @title A payment token that keeps one unit of each transfer, blocks an address, or calls back
contract OddUsd is ERC20("Odd USD", "oUSD") {
    uint256 public keep;
    address public blocked;
    address public hookTarget;
    bytes public hookData;
    bool public hookResult;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setKeep(uint256 value) external {
        keep = value;
    }

    function setBlocked(address who) external {
        blocked = who;
    }

    function setHook(address target, bytes calldata data) external {
        (hookTarget, hookData) = (target, data);
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(to == address(0) || to != blocked, "blocked");
        super._update(from, to, amount);
        if (keep != 0 && from != address(0) && to != address(0)) super._update(to, address(0), keep);
        if (hookTarget != address(0)) (hookResult,) = hookTarget.call(hookData);
    }
}
