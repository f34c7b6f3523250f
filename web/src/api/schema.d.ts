// Generated from docs/openapi.json by `npm run types`. Do not edit.
export interface paths {
    "/api/v1/chains/{chain_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One chain: head, index, finality, proof and lag. */
        get: operations["getChain"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Events, newest first unless asked otherwise. */
        get: operations["listEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Events as they are observed, retracted by a reorg, and finalized. */
        get: operations["streamEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/holders/{address}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Everything one address holds, over all chains. */
        get: operations["listHoldings"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document. */
        get: operations["getOpenApi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Version, chains and components of the service. */
        get: operations["getStatus"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Tokens that have shown themselves by their events. */
        get: operations["listTokens"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens/{chain_id}/{address}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One token. */
        get: operations["getToken"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens/{chain_id}/{address}/holders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Holders of one token with a balance above zero, largest first. */
        get: operations["listHolders"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/transactions/{hash}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The block, finality and events of one transaction. */
        get: operations["getTransaction"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process runs and answers. */
        get: operations["getLive"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Whether the service can answer for each chain. A chain whose providers are all away but whose
         *     index exists is degraded, not unready: readers are still served.
         */
        get: operations["getReady"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description A chain's index beside the chain itself. */
        Chain: {
            /** Format: int64 */
            blocks: number;
            /** Format: int64 */
            chain_id: number;
            /**
             * @description Rolling digest of the committed state at `indexed`: equal wherever the same blocks were indexed
             *     with the same contracts.
             */
            digest: string;
            /** Format: int64 */
            events: number;
            /**
             * Format: int64
             * @description Everything up to here can no longer change.
             */
            finalized: number | null;
            /**
             * Format: int64
             * @description Newest block that the providers show; null while none has answered.
             */
            head: number | null;
            head_hash: string | null;
            /**
             * Format: int64
             * @description When the head was seen first, in seconds since the Unix epoch.
             */
            head_seen_at: number | null;
            /**
             * Format: int64
             * @description Last block in the index; null before the first.
             */
            indexed: number | null;
            indexed_hash: string | null;
            /**
             * Format: int64
             * @description Blocks between the head and the index; null while one of them is unknown.
             */
            lag: number | null;
            /** Format: int64 */
            logs: number;
            name: string;
            /** @description Handlers that could not take an event; their documents stand right before it. */
            parked: components["schemas"]["ParkedHandler"][];
            /**
             * Format: int64
             * @description The documents are being rebuilt and are complete below this block; null when they are whole.
             */
            rebuilt_below: number | null;
            /**
             * Format: int64
             * @description Logs that no ABI could read; kept, and listed with `event` null.
             */
            undecoded: number;
            /**
             * Format: int64
             * @description Every block from the first indexed one up to here is proven complete.
             */
            verified_through: number | null;
        };
        /** @description A part of the service and how it is. */
        ComponentState: {
            detail: string;
            name: string;
            /** @description `ok`, `starting`, `degraded` or `failed`. */
            state: string;
        };
        /** @description An event of a contract. */
        Event: {
            /** @description The contract that logged it, EIP-55. */
            address: string;
            /** @description Arguments by name, in the order of the ABI. Integers are decimal strings. */
            args: {
                [key: string]: string;
            };
            block_hash: string;
            /** Format: int64 */
            block_number: number;
            /** Format: int64 */
            chain_id: number;
            /** @description Configured name of the contract. */
            contract: string;
            /** @description Name in the ABI; null while no ABI can read the log. */
            event: string | null;
            /** @description `chain:blockHash:logIndex`; the same for the life of the log. */
            id: string;
            /**
             * Format: int32
             * @description Index of the log in its block.
             */
            log_index: number;
            /** @description `observed`, `safe` or `finalized`. */
            status: string;
            /**
             * Format: int64
             * @description Seconds since the Unix epoch.
             */
            timestamp: number;
            tx_hash: string;
        };
        /** @description The step of a chain's index that the stream calls `finalized`. */
        Finalized: {
            /**
             * Format: int64
             * @description Everything up to this block can no longer change.
             */
            block_number: number;
            /** Format: int64 */
            chain_id: number;
        };
        /** @description What one account holds of one token. */
        Holder: {
            /** @description The whole account is frozen for this token. */
            account_frozen: boolean;
            /** @description In the token's smallest unit. */
            balance: string;
            /** Format: int64 */
            chain_id: number;
            /**
             * Format: int32
             * @description ISO 3166-1 numeric country of that identity.
             */
            country: number | null;
            /** @description Part of the balance that an agent froze. */
            frozen: string;
            holder: string;
            /** @description Identity contract in the token's registry; null if the wallet has none there. */
            identity: string | null;
            token: string;
        };
        /** @description A page of a token's holders, largest first, and the block that the balances are true at. */
        Holders: {
            /** Format: int64 */
            at_block: number;
            at_block_hash: string;
            items: components["schemas"]["Holder"][];
            next_cursor: string | null;
            /** @description Supply at that block, in the smallest unit. */
            supply: string;
        };
        /** @description One page of a list. */
        List_Event: {
            items: {
                /** @description The contract that logged it, EIP-55. */
                address: string;
                /** @description Arguments by name, in the order of the ABI. Integers are decimal strings. */
                args: {
                    [key: string]: string;
                };
                block_hash: string;
                /** Format: int64 */
                block_number: number;
                /** Format: int64 */
                chain_id: number;
                /** @description Configured name of the contract. */
                contract: string;
                /** @description Name in the ABI; null while no ABI can read the log. */
                event: string | null;
                /** @description `chain:blockHash:logIndex`; the same for the life of the log. */
                id: string;
                /**
                 * Format: int32
                 * @description Index of the log in its block.
                 */
                log_index: number;
                /** @description `observed`, `safe` or `finalized`. */
                status: string;
                /**
                 * Format: int64
                 * @description Seconds since the Unix epoch.
                 */
                timestamp: number;
                tx_hash: string;
            }[];
            /** @description Pass it as `cursor` for the next page; null at the end. */
            next_cursor: string | null;
        };
        /** @description One page of a list. */
        List_Holder: {
            items: {
                /** @description The whole account is frozen for this token. */
                account_frozen: boolean;
                /** @description In the token's smallest unit. */
                balance: string;
                /** Format: int64 */
                chain_id: number;
                /**
                 * Format: int32
                 * @description ISO 3166-1 numeric country of that identity.
                 */
                country: number | null;
                /** @description Part of the balance that an agent froze. */
                frozen: string;
                holder: string;
                /** @description Identity contract in the token's registry; null if the wallet has none there. */
                identity: string | null;
                token: string;
            }[];
            /** @description Pass it as `cursor` for the next page; null at the end. */
            next_cursor: string | null;
        };
        /** @description One page of a list. */
        List_Token: {
            items: {
                address: string;
                /** Format: int64 */
                chain_id: number;
                compliance: string | null;
                /** Format: int32 */
                decimals: number | null;
                /**
                 * Format: int64
                 * @description Block of the first event seen.
                 */
                first_block: number;
                /**
                 * Format: int64
                 * @description Accounts with a balance above zero.
                 */
                holders: number;
                identity_registry: string | null;
                /** @description What the contract calls itself; null until it has been read. */
                name: string | null;
                paused: boolean;
                /** @description `erc20`, `erc721` or `erc3643`. */
                standard: string;
                /** @description Minted minus burnt, in the smallest unit. */
                supply: string;
                symbol: string | null;
                /** Format: int64 */
                transfers: number;
            }[];
            /** @description Pass it as `cursor` for the next page; null at the end. */
            next_cursor: string | null;
        };
        /** @description The process answers. */
        Live: {
            /** @description `ok` */
            status: string;
        };
        /** @description One thing wrong with one parameter. */
        ParameterFault: {
            detail: string;
            parameter: string;
            value: string;
        };
        /** @description A handler that waits for a fix; everything else goes on. */
        ParkedHandler: {
            /** Format: int64 */
            block: number;
            handler: string;
            /** Format: int32 */
            log_index: number;
            reason: string;
        };
        /** @description Problem details (RFC 9457) of every error. */
        Problem: {
            /** @description Stable; branch on this. */
            code: string;
            detail: string;
            /** @description One entry per bad parameter. */
            errors?: components["schemas"]["ParameterFault"][] | null;
            /** @description Also in the `x-request-id` header; quote it when you ask for help. */
            request_id: string;
            /** Format: int32 */
            status: number;
            /** @description In the language of `Accept-Language` (English or Brazilian Portuguese). */
            title: string;
            /** @description `urn:rwahub:problem:<code>` */
            type: string;
        };
        /** @description Whether the service can do its work. */
        Ready: {
            dependencies: components["schemas"]["ComponentState"][];
            /** @description `ready` or `degraded` */
            status: string;
        };
        /** @description The whole service at a glance. */
        Status: {
            chains: components["schemas"]["Chain"][];
            components: components["schemas"]["ComponentState"][];
            /**
             * Format: int64
             * @description Number of the newest entry of the feed.
             */
            feed: number;
            /** @description `ok`, `starting`, `degraded` or `failed`: the worst of the components. */
            status: string;
            version: string;
        };
        /** @description A token contract and its running totals. */
        Token: {
            address: string;
            /** Format: int64 */
            chain_id: number;
            compliance: string | null;
            /** Format: int32 */
            decimals: number | null;
            /**
             * Format: int64
             * @description Block of the first event seen.
             */
            first_block: number;
            /**
             * Format: int64
             * @description Accounts with a balance above zero.
             */
            holders: number;
            identity_registry: string | null;
            /** @description What the contract calls itself; null until it has been read. */
            name: string | null;
            paused: boolean;
            /** @description `erc20`, `erc721` or `erc3643`. */
            standard: string;
            /** @description Minted minus burnt, in the smallest unit. */
            supply: string;
            symbol: string | null;
            /** Format: int64 */
            transfers: number;
        };
        /** @description A transaction as the index knows it: the block it is in and the events it left. */
        Transaction: {
            block_hash: string;
            /** Format: int64 */
            block_number: number;
            /** Format: int64 */
            chain_id: number;
            events: components["schemas"]["Event"][];
            /** @description Pass it as `cursor` for the events that did not fit; null at the end. */
            next_cursor: string | null;
            /** @description `observed`, `safe` or `finalized`. */
            status: string;
            /** Format: int64 */
            timestamp: number;
            tx_hash: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getChain: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description EIP-155 chain id
                 * @example 1
                 */
                chain_id: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Where the chain stands */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "blocks": 20,
                     *       "chain_id": 1,
                     *       "digest": "0xd1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1",
                     *       "events": 40,
                     *       "finalized": 110,
                     *       "head": 122,
                     *       "head_hash": "0x7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a",
                     *       "head_seen_at": 1700001464,
                     *       "indexed": 119,
                     *       "indexed_hash": "0x0000000000000000000000000000000000000000000000000000000000000077",
                     *       "lag": 3,
                     *       "logs": 40,
                     *       "name": "mainnet",
                     *       "parked": [],
                     *       "rebuilt_below": null,
                     *       "undecoded": 0,
                     *       "verified_through": 119
                     *     }
                     */
                    "application/json": components["schemas"]["Chain"];
                };
            };
            /** @description `invalid_parameter`: A parameter is not valid */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listEvents: {
        parameters: {
            query?: {
                /**
                 * @description Only this chain
                 * @example 1
                 */
                chain_id?: number;
                /**
                 * @description Address or configured name of the contract
                 * @example bond
                 */
                contract?: string;
                /**
                 * @description Event name as in the ABI
                 * @example Transfer
                 */
                event?: string;
                /**
                 * @description An address that takes part: any address argument
                 * @example 0x1111111111111111111111111111111111111111
                 */
                address?: string;
                /** @description Only this transaction */
                tx_hash?: string;
                /**
                 * @description First block, included
                 * @example 100
                 */
                from_block?: number;
                /**
                 * @description Last block, included
                 * @example 200
                 */
                to_block?: number;
                /**
                 * @description `desc` (default) or `asc`
                 * @example asc
                 */
                order?: "asc" | "desc";
                /**
                 * @description Items of a page, 1 to 1000, default 50; with CSV the rows in all, up to 1000000
                 * @example 2
                 */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: string;
                /** @description `json` (default) or `csv`; `Accept: text/csv` does the same */
                format?: "json" | "csv";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of events; or all of them as CSV */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *           "args": {
                     *             "from": "0x1111111111111111111111111111111111111111",
                     *             "to": "0x2222222222222222222222222222222222222222",
                     *             "value": "115792089237316195423570985008687907853269984665640564039457"
                     *           },
                     *           "block_hash": "0x0000000000000000000000000000000000000000000000000000000000000064",
                     *           "block_number": 100,
                     *           "chain_id": 1,
                     *           "contract": "bond",
                     *           "event": "Transfer",
                     *           "id": "1:0x0000000000000000000000000000000000000000000000000000000000000064:0",
                     *           "log_index": 0,
                     *           "status": "finalized",
                     *           "timestamp": 1700001200,
                     *           "tx_hash": "0x6464646464646464646464646464646464646464646464646464646464646464"
                     *         },
                     *         {
                     *           "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *           "args": {
                     *             "from": "0x0000000000000000000000000000000000000000",
                     *             "to": "0x1111111111111111111111111111111111111111",
                     *             "value": "115792089237316195423570985008687907853269984665640564039457"
                     *           },
                     *           "block_hash": "0x0000000000000000000000000000000000000000000000000000000000000064",
                     *           "block_number": 100,
                     *           "chain_id": 1,
                     *           "contract": "bond",
                     *           "event": "Transfer",
                     *           "id": "1:0x0000000000000000000000000000000000000000000000000000000000000064:3",
                     *           "log_index": 3,
                     *           "status": "finalized",
                     *           "timestamp": 1700001200,
                     *           "tx_hash": "0x6464646464646464646464646464646464646464646464646464646464646464"
                     *         }
                     *       ],
                     *       "next_cursor": "2"
                     *     }
                     */
                    "application/json": components["schemas"]["List_Event"];
                    /**
                     * @example id,chain_id,block_number,block_hash,timestamp,tx_hash,log_index,address,contract,event,args,status
                     *     1:0x0000000000000000000000000000000000000000000000000000000000000064:0,1,100,0x0000000000000000000000000000000000000000000000000000000000000064,1700001200,0x6464646464646464646464646464646464646464646464646464646464646464,0,0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa,bond,Transfer,"{""from"":""0x1111111111111111111111111111111111111111"",""to"":""0x2222222222222222222222222222222222222222"",""value"":""115792089237316195423570985008687907853269984665640564039457""}",finalized
                     *     1:0x0000000000000000000000000000000000000000000000000000000000000064:3,1,100,0x0000000000000000000000000000000000000000000000000000000000000064,1700001200,0x6464646464646464646464646464646464646464646464646464646464646464,3,0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa,bond,Transfer,"{""from"":""0x0000000000000000000000000000000000000000"",""to"":""0x1111111111111111111111111111111111111111"",""value"":""115792089237316195423570985008687907853269984665640564039457""}",finalized
                     */
                    "text/csv": string;
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    streamEvents: {
        parameters: {
            query?: {
                /**
                 * @description Only this chain
                 * @example 1
                 */
                chain_id?: number;
                /** @description Address or configured name of the contract */
                contract?: string;
                /** @description Event name as in the ABI */
                event?: string;
                /** @description An address that takes part: any address argument */
                address?: string;
                /**
                 * @description `id` of the last event handled; without it the stream starts at the newest
                 * @example AQAAAAAAAAAA
                 */
                cursor?: string;
            };
            header?: {
                /** @description The same; wins over `cursor`, as a browser sends it when it connects again */
                "Last-Event-ID"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Server-sent events named `observed` and `retracted` (data: an event) and `finalized` (data: chain and block); `id` is the cursor behind each. `problem` (data: problem details) ends a stream that cannot go on. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example retry: 2000
                     *     id: AQAAAAAAAAAA
                     *
                     *     event: observed
                     *     id: AQAAAAAAAAABAAAAAAAAAHgAAAAA
                     *     data: {"id":"1:0x0000000000000000000000000000000000000000000000000000000000000078:0","chain_id":1,"block_number":120,"block_hash":"0x0000000000000000000000000000000000000000000000000000000000000078","timestamp":1700001440,"tx_hash":"0x7878787878787878787878787878787878787878787878787878787878787878","log_index":0,"address":"0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa","contract":"bond","event":"Transfer","args":{"from":"0x1111111111111111111111111111111111111111","to":"0x2222222222222222222222222222222222222222","value":"115792089237316195423570985008687907853269984665640564039457"},"status":"observed"}
                     */
                    "text/event-stream": string;
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: too many open streams */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listHoldings: {
        parameters: {
            query?: {
                /**
                 * @description Items of a page, 1 to 1000, default 50
                 * @example 10
                 */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The holder
                 * @example 0x1111111111111111111111111111111111111111
                 */
                address: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of holdings; empty for an address that holds nothing */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "account_frozen": false,
                     *           "balance": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                     *           "chain_id": 1,
                     *           "country": 76,
                     *           "frozen": "1",
                     *           "holder": "0x1111111111111111111111111111111111111111",
                     *           "identity": "0x3333333333333333333333333333333333333333",
                     *           "token": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa"
                     *         }
                     *       ],
                     *       "next_cursor": null
                     *     }
                     */
                    "application/json": components["schemas"]["List_Holder"];
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getOpenApi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OpenAPI 3.1 */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description `invalid_parameter`: A parameter is not valid */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getStatus: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description How the service is */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "chains": [
                     *         {
                     *           "blocks": 20,
                     *           "chain_id": 1,
                     *           "digest": "0xd1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1",
                     *           "events": 40,
                     *           "finalized": 110,
                     *           "head": 122,
                     *           "head_hash": "0x7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a",
                     *           "head_seen_at": 1700001464,
                     *           "indexed": 119,
                     *           "indexed_hash": "0x0000000000000000000000000000000000000000000000000000000000000077",
                     *           "lag": 3,
                     *           "logs": 40,
                     *           "name": "mainnet",
                     *           "parked": [],
                     *           "rebuilt_below": null,
                     *           "undecoded": 0,
                     *           "verified_through": 119
                     *         }
                     *       ],
                     *       "components": [
                     *         {
                     *           "detail": "answers in 2 ms",
                     *           "name": "provider local",
                     *           "state": "ok"
                     *         }
                     *       ],
                     *       "feed": 1,
                     *       "status": "ok",
                     *       "version": "0.1.0"
                     *     }
                     */
                    "application/json": components["schemas"]["Status"];
                };
            };
            /** @description `invalid_parameter`: A parameter is not valid */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listTokens: {
        parameters: {
            query?: {
                /**
                 * @description Only this chain
                 * @example 1
                 */
                chain_id?: number;
                /**
                 * @description Items of a page, 1 to 1000, default 50
                 * @example 10
                 */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of tokens */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *           "chain_id": 1,
                     *           "compliance": null,
                     *           "decimals": 18,
                     *           "first_block": 100,
                     *           "holders": 2,
                     *           "identity_registry": "0x4444444444444444444444444444444444444444",
                     *           "name": "Título Verde 2030",
                     *           "paused": false,
                     *           "standard": "erc3643",
                     *           "supply": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                     *           "symbol": "TV30",
                     *           "transfers": 40
                     *         }
                     *       ],
                     *       "next_cursor": null
                     *     }
                     */
                    "application/json": components["schemas"]["List_Token"];
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getToken: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description EIP-155 chain id
                 * @example 1
                 */
                chain_id: number;
                /**
                 * @description The token contract
                 * @example 0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa
                 */
                address: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The token */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *       "chain_id": 1,
                     *       "compliance": null,
                     *       "decimals": 18,
                     *       "first_block": 100,
                     *       "holders": 2,
                     *       "identity_registry": "0x4444444444444444444444444444444444444444",
                     *       "name": "Título Verde 2030",
                     *       "paused": false,
                     *       "standard": "erc3643",
                     *       "supply": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                     *       "symbol": "TV30",
                     *       "transfers": 40
                     *     }
                     */
                    "application/json": components["schemas"]["Token"];
                };
            };
            /** @description `invalid_parameter` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` or `token_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listHolders: {
        parameters: {
            query?: {
                /**
                 * @description Balances as they were right after this block
                 * @example 110
                 */
                at_block?: number;
                /**
                 * @description Items of a page, 1 to 1000, default 50; with CSV the rows in all, up to 1000000
                 * @example 1
                 */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: string;
                /** @description `json` (default) or `csv`; `Accept: text/csv` does the same */
                format?: "json" | "csv";
            };
            header?: never;
            path: {
                /**
                 * @description EIP-155 chain id
                 * @example 1
                 */
                chain_id: number;
                /**
                 * @description The token contract
                 * @example 0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa
                 */
                address: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page of holders; or all of them as CSV */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "at_block": 110,
                     *       "at_block_hash": "0x000000000000000000000000000000000000000000000000000000000000006e",
                     *       "items": [
                     *         {
                     *           "account_frozen": false,
                     *           "balance": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
                     *           "chain_id": 1,
                     *           "country": 76,
                     *           "frozen": "1",
                     *           "holder": "0x1111111111111111111111111111111111111111",
                     *           "identity": "0x3333333333333333333333333333333333333333",
                     *           "token": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa"
                     *         }
                     *       ],
                     *       "next_cursor": "1",
                     *       "supply": "115792089237316195423570985008687907853269984665640564039457584007913129639935"
                     *     }
                     */
                    "application/json": components["schemas"]["Holders"];
                    /**
                     * @example chain_id,token,holder,balance,frozen,account_frozen,identity,country
                     *     1,0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa,0x1111111111111111111111111111111111111111,115792089237316195423570985008687907853269984665640564039457584007913129639935,1,false,0x3333333333333333333333333333333333333333,76
                     */
                    "text/csv": string;
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `chain_unknown` or `token_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `block_not_indexed` */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getTransaction: {
        parameters: {
            query?: {
                /**
                 * @description Needed only for a hash that occurs on several chains
                 * @example 1
                 */
                chain_id?: number;
                /**
                 * @description Events of a page, 1 to 1000, default 50
                 * @example 10
                 */
                limit?: number;
                /** @description `next_cursor` of the page before */
                cursor?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The transaction's hash
                 * @example 0x7474747474747474747474747474747474747474747474747474747474747474
                 */
                hash: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The transaction as the index knows it */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "block_hash": "0x0000000000000000000000000000000000000000000000000000000000000074",
                     *       "block_number": 116,
                     *       "chain_id": 1,
                     *       "events": [
                     *         {
                     *           "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *           "args": {
                     *             "from": "0x1111111111111111111111111111111111111111",
                     *             "to": "0x2222222222222222222222222222222222222222",
                     *             "value": "115792089237316195423570985008687907853269984665640564039457"
                     *           },
                     *           "block_hash": "0x0000000000000000000000000000000000000000000000000000000000000074",
                     *           "block_number": 116,
                     *           "chain_id": 1,
                     *           "contract": "bond",
                     *           "event": "Transfer",
                     *           "id": "1:0x0000000000000000000000000000000000000000000000000000000000000074:0",
                     *           "log_index": 0,
                     *           "status": "observed",
                     *           "timestamp": 1700001392,
                     *           "tx_hash": "0x7474747474747474747474747474747474747474747474747474747474747474"
                     *         },
                     *         {
                     *           "address": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
                     *           "args": {
                     *             "from": "0x0000000000000000000000000000000000000000",
                     *             "to": "0x1111111111111111111111111111111111111111",
                     *             "value": "115792089237316195423570985008687907853269984665640564039457"
                     *           },
                     *           "block_hash": "0x0000000000000000000000000000000000000000000000000000000000000074",
                     *           "block_number": 116,
                     *           "chain_id": 1,
                     *           "contract": "bond",
                     *           "event": "Transfer",
                     *           "id": "1:0x0000000000000000000000000000000000000000000000000000000000000074:3",
                     *           "log_index": 3,
                     *           "status": "observed",
                     *           "timestamp": 1700001392,
                     *           "tx_hash": "0x7474747474747474747474747474747474747474747474747474747474747474"
                     *         }
                     *       ],
                     *       "next_cursor": null,
                     *       "status": "observed",
                     *       "timestamp": 1700001392,
                     *       "tx_hash": "0x7474747474747474747474747474747474747474747474747474747474747474"
                     *     }
                     */
                    "application/json": components["schemas"]["Transaction"];
                };
            };
            /** @description `invalid_parameter` or `invalid_cursor` */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `sign_in_required`: Sign in first */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `transaction_unknown` or `chain_unknown` */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `rate_limited`: Too many requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `internal`: Something went wrong on our side */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `overloaded`: The service is at its limit */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description `answer_timeout`: The answer took too long */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getLive: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The process answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok"
                     *     }
                     */
                    "application/json": components["schemas"]["Live"];
                };
            };
        };
    };
    getReady: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `ready` or `degraded`, and each dependency */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "dependencies": [
                     *         {
                     *           "detail": "answers",
                     *           "name": "store",
                     *           "state": "ok"
                     *         },
                     *         {
                     *           "detail": "3 blocks behind the head",
                     *           "name": "chain 1",
                     *           "state": "ok"
                     *         },
                     *         {
                     *           "detail": "answers in 2 ms",
                     *           "name": "provider local",
                     *           "state": "ok"
                     *         }
                     *       ],
                     *       "status": "ready"
                     *     }
                     */
                    "application/json": components["schemas"]["Ready"];
                };
            };
            /** @description `not_ready`, and each dependency */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
