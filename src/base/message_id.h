/*
 * base/message_id.h - the names of notable events: MESSAGE_ID=, by which a line is found and explained
 *
 * Shape    128 random bits each, made once and never used again for something else: scripts and alerts compare them
 * Limits   whatever has a name here is written somewhere and has its entry in units/scribe-gateway.catalog, which
 *          `journalctl -x` shows beside the line; tests/tidy/catalog.py compares the three
 * Source   systemd.journal-fields(7) MESSAGE_ID=; systemd-id128(1) new
 */
#pragma once

/* clang-format off */
#define SG_MESSAGE_READY                "e26aeae7cac742d196a1ddbc48313446" /* the gateway serves */
#define SG_MESSAGE_ENDED                "cb98124079544a2b8909e994e4be4b8c" /* the gateway has ended in order */
#define SG_MESSAGE_RELOADED             "4741c448b2934268ad84709125ac03b7" /* a new configuration is in force */
#define SG_MESSAGE_RELOAD_REFUSED       "620d7ff86a75496e9f5e6a431cd7b584" /* a new configuration was refused, the old one stays */

#define SG_MESSAGE_CONFIGURATION        "5fb605b653ad4bd7a7c03230eed66299" /* start: the configuration is wrong */
#define SG_MESSAGE_CREDENTIAL           "4186007e80f741d1ab35919122cd0c4e" /* start: a secret is missing or cannot be read */
#define SG_MESSAGE_CERTIFICATE          "50dc0b470fdf4589809f19279f4c59d3" /* start: a certificate or ca_file is broken */
#define SG_MESSAGE_ADDRESS              "03db91fe3a3348bab5bfb3fd7ae12c47" /* start: an address is taken, not allowed or not there */
#define SG_MESSAGE_DIRECTORY            "1654a5d99fd34101bdc79d5c333f7833" /* start: a directory is missing or cannot be written */
#define SG_MESSAGE_DISK_FULL            "516d7852b9404f4f8631768b7b31f31d" /* a disk is full */
#define SG_MESSAGE_DATABASE_NEWER       "0ae171eacfb848c48cfd5eb1bda0f413" /* the database was written by a newer version */
#define SG_MESSAGE_DATABASE_DAMAGED     "9b22087775074b4a807413580b60d776" /* the database is damaged or none */

#define SG_MESSAGE_LEDGER_READY         "14e939fb00a3418399af6cc14eceb5f3" /* the ledger serves */
#define SG_MESSAGE_LEDGER_LOST          "6036b563e717462a92f7720b25357f40" /* the ledger does not tell the keys */
#define SG_MESSAGE_LEDGER_BACK          "1351ea82eaa348faaae2604cb1cb0cd8" /* the ledger tells the keys again */
#define SG_MESSAGE_LEDGER_FAILED        "91a9490a29e94ad38a4577348db02467" /* the ledger that the gateway started has ended */
#define SG_MESSAGE_KEYS_BROKEN          "acce11dd63f047acb604c8223619e506" /* the picture of the keys was set aside */
#define SG_MESSAGE_STORE_FAILING        "9b12c87b0f7745cbab7d637e4e97bb04" /* usage cannot be stored */
#define SG_MESSAGE_STORE_AGAIN          "8bee0ea22f5e483c8dee6aaf773827c8" /* usage is stored again */
#define SG_MESSAGE_RING_DAMAGED         "1f4c615f9e0f4cc38c3aa3446d3cc27b" /* a ring has records that cannot be read */
#define SG_MESSAGE_CHANGED_BY           "d6744d40a57d495dabcb4a4abe879fe0" /* somebody has changed keys or groups */

#define SG_MESSAGE_JOURNAL_FULL         "d3657903a38b4a8d999e073284b9f14a" /* a worker's ring is full */
#define SG_MESSAGE_JOURNAL_HIGH         "7151d1556c0e406189f9a078bc077a89" /* three quarters of a ring are taken */
#define SG_MESSAGE_JOURNAL_LOW          "44beef09ccd944a197a95faa7d08be8a" /* less than half of each ring is taken, again */
#define SG_MESSAGE_JOURNAL_SYNC_FAILING "9ffa1094d5294c6d9eb7347d9e3db146" /* rings cannot be written to disk */
#define SG_MESSAGE_JOURNAL_SYNC_AGAIN   "d5203ee983ad4a4d879ab9f9951ea78e" /* rings are written to disk again */

#define SG_MESSAGE_EXCHANGE             "928b3bd591ae4d508da690f6164b5097" /* one exchange: the access line */
#define SG_MESSAGE_PROVIDER_CREDENTIAL  "127f4b9c446546bca7f4ba64a8e1b563" /* a provider refuses our credential */
#define SG_MESSAGE_CONNECTIONS_FULL     "cefd8a54a3a34509850290a5c349b518" /* connections are refused: max_connections */
#define SG_MESSAGE_DESCRIPTORS_FULL     "565bbbbe3f84419f8e3209574d3cb63a" /* connections wait: no descriptor or memory left */
#define SG_MESSAGE_LINES_LOST           "7e4f5b4bf3f84c539e306b00424ffd8c" /* log lines were lost */
#define SG_MESSAGE_ERRORS_SUMMED        "a05fefe336e840ec8538829c42b1508b" /* repeated errors were counted instead of logged */

#define SG_MESSAGE_DEPENDENCY_DOWN      "5f40d8cbce9847fd9dd482dbc8e12d55" /* a dependency does not answer as it should */
#define SG_MESSAGE_DEPENDENCY_UP        "2297cd1f90314a5da6a4145ba2b65c4c" /* a dependency answers again */
#define SG_MESSAGE_ENDPOINT_DOWN        "89ff44b708a64d469caefd813baa0fb5" /* an endpoint of a service fails its checks */
#define SG_MESSAGE_ENDPOINT_UP          "dc9838dc7754421f95078124dd35b47e" /* an endpoint of a service passes its check again */
#define SG_MESSAGE_ENDPOINT_DRAINED     "ddc3339e1673427ba1876223d6b1b914" /* an admin has drained an endpoint of a service */
#define SG_MESSAGE_ENDPOINT_ENABLED     "f629b1c5142749e08315af5b51735149" /* an admin has enabled an endpoint of a service again */

#define SG_MESSAGE_WORKER_HANGS         "8c47a5ad63e8494e9a227e628802a3eb" /* a worker does not turn, the watchdog is not fed */
#define SG_MESSAGE_DRAIN_CUT            "05aaf1cc36804e8f89fd3fc44725cb12" /* exchanges were cut off at the end of the drain */
#define SG_MESSAGE_UPGRADE_BEGUN        "664c255f584e4213a91ee0a90ceb9156" /* a successor is being started */
#define SG_MESSAGE_UPGRADE_DONE         "1559825350074dc59f0d11abff8bbd7e" /* a successor serves */
#define SG_MESSAGE_UPGRADE_REFUSED      "3db439bcb94e446dad042b5f8f87f6e2" /* a successor could not be started, this process goes on */
#define SG_MESSAGE_ENDPOINT_TRIPPED     "1f32dd91fc3eb0d5418003e150308f97" /* an endpoint failed again and again and is left alone */
#define SG_MESSAGE_ENDPOINT_RETURNED    "b2cff95921ff8d8346086a4d84acad67" /* such an endpoint serves again */

#define SG_MESSAGE_LIMITS_ANEW          "36fc2f0e43f2499eb3e63c46766e481d" /* the counts of limits begin anew, or are not kept */
#define SG_MESSAGE_LIMIT_NEAR           "7aec0ce93e8b44d18e3d4f202436e6fe" /* a limit is used up to the mark at which it warns */
#define SG_MESSAGE_LIMIT_SOFT_PASSED    "72619be7e6504de7a800f64d52e3d791" /* a soft limit is passed */
#define SG_MESSAGE_LANE_RESTS               "890d14a3b6c6bd609e1413fb7f8bb3b0" /* a lane or a credential of a provider rests */
#define SG_MESSAGE_LANE_TRIPPED             "c92b31c492d7879b8ff2c1467391ccc0" /* a lane failed again and again and is left alone */
#define SG_MESSAGE_LANE_RETURNED            "d8e1e0ba62ed72ccdf20bf9dd68be063" /* a lane or credential serves again */
#define SG_MESSAGE_LANE_DRAINED             "99849d7eee653e8acc18dfff00c9dcb3" /* an admin has drained a lane or a credential */
#define SG_MESSAGE_LANE_ENABLED             "49c7827751334faf9d2406298f0367e4" /* an admin has enabled a lane or a credential again */
#define SG_MESSAGE_QUOTAS_ANEW              "843f8b232aa8feb98065121fe084f3fe" /* daily quotas of credentials begin anew, or are in memory */

#define SG_MESSAGE_REDIS_OUT            "67324706618b4406b0664a94d5b2a63e" /* Redis does not share limits between gateways */
#define SG_MESSAGE_REDIS_BACK           "1669eeb9342a4d65a4cac0b3d20a0e0d" /* Redis shares limits again */
/* clang-format on */
