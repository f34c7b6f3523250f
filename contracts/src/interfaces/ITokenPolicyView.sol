// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

interface ITokenPolicyView {
    function engine() external view returns (address);
    function token() external view returns (address);
}
