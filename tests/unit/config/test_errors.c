/* What a person is told: place, what is wrong, what would be right. The whole text, so that each change is seen. */
#include "config_test.h"

struct wrong {
        const char *text, *expected;
};

static void each(const struct wrong *cases, size_t n)
{
        TEST_ENV();
        for (size_t i = 0; i < n; i++)
                test_wrong(cases[i].text, cases[i].expected);
}

#define EACH(cases) each(cases, SG_N_ELEMENTS(cases))
#define M           ECHO "[model \"m\"]\ntarget = echo\n"
#define KEYS        OPENAI "base_url = http://h\napi_key = env:KEY\n"
#define LISTENER    "[listener \"http\"]\n"
#define OPENAI      "[provider \"p\"]\ndialect = openai\n"
#define AZURE       "[provider \"p\"]\ndialect = azure\n"
#define ANTHROPIC   "[provider \"p\"]\ndialect = anthropic\nbase_url = https://h/v1\n"
#define ECHO        "[provider \"echo\"]\ndialect = echo\n"

static void test_words_that_do_not_exist(void **state)
{
        static const struct wrong cases[] = {
                {LISTENER "adress = 127.0.0.1:1\n",
                 "a.conf:2: unknown setting 'adress' in [listener \"http\"]; did you mean 'address'?"},
                {"[gateway]\nworkrs = 2\n", "a.conf:2: unknown setting 'workrs' in [gateway]; did you mean 'workers'?"},
                {"[gateway]\nWorkers = 2\n",
                 "a.conf:2: unknown setting 'Workers' in [gateway]; did you mean 'workers'?"},
                {"[gateway]\nbody_max = 1M\n", "a.conf:2: unknown setting 'body_max' in [gateway]"},
                {"[log]\nworkers = 2\n", "a.conf:2: unknown setting 'workers' in [log]; it belongs into [gateway]"},
                {"[gateway]\ntarget = echo\n",
                 "a.conf:2: unknown setting 'target' in [gateway]; it belongs into [model \"\xe2\x80\xa6\"]"},
                {"[model \"m\"]\nfallbck = echo\n",
                 "a.conf:2: unknown setting 'fallbck' in [model \"m\"]; did you mean 'fallback'?"},
                {"[model \"m\"]\ncache = yes\n", "a.conf:2: unknown setting 'cache' in [model \"m\"]"},
                {"[provider \"p\"]\ncredentials = a env:B\n",
                 "a.conf:2: unknown setting 'credentials' in [provider \"p\"]; did you mean 'credential'?"},
                {"[gatway]\nworkers = 2\n", "a.conf:1: unknown section [gatway]; did you mean [gateway]?"},
                {"[Provider \"x\"]\n", "a.conf:1: unknown section [Provider]; did you mean [provider]?"},
                {"[servce \"query\"]\nprefix = /\n", "a.conf:1: unknown section [servce]; did you mean [service]?"},
                {"[kafka]\nurl =\n", "a.conf:1: unknown section [kafka]"},
                {"[cluster \"neo4j\"]\n", "a.conf:1: unknown section [cluster]"},
                {"[gateway \"x\"]\n", "a.conf:1: [gateway] stands once and takes no name"},
                {"[listener]\n", "a.conf:1: [listener] needs a name: [listener \"http\"]"},
                {"[listener \"control\"]\naddress = 8000\n",
                 "a.conf:1: [listener \"control\"]: so is the control socket called; choose another name"},
                {"[model]\n", "a.conf:1: [model] needs a name: [model \"default\"]"},
                {"[provider \"a b\"]\n", "a.conf:1: [provider \"a b\"]: the name may have letters, digits, . _ - only"},
                {"[listener \"a:b\"]\n", "a.conf:1: [listener \"a:b\"]: the name may have letters, digits, . _ - only"},
                {"[gateway]\nworkers = 2\n# x\nworkers = 3\n", "a.conf:4: 'workers' is set in line 2 already"},
                {"[gateway]\nworkers = 2\n[log]\n[gateway]\nworkers =\n",
                 "a.conf:5: 'workers' is set in line 2 already"},
        };

        EACH(cases);
}

static void test_values_that_are_none(void **state)
{
        static const struct wrong cases[] = {
                {"[gateway]\nworkers = many\n", "a.conf:2: workers: 'many' is neither auto nor a number"},
                {"[gateway]\nworkers = 0\n", "a.conf:2: workers: '0' is out of range: 1 to 256"},
                {"[gateway]\nworkers = 257\n", "a.conf:2: workers: '257' is out of range: 1 to 256"},
                {"[gateway]\nworkers = 4294967297\n", "a.conf:2: workers: '4294967297' is out of range: 1 to 256"},
                {"[gateway]\nmax_connections = 1k\n", "a.conf:2: max_connections: '1k' is not a number"},
                {"[gateway]\ndrain_timeout = 90\n", "a.conf:2: drain_timeout: '90' needs a unit: us, ms, s, m, h or d"},
                {"[gateway]\ndrain_timeout = 5 parsecs\n",
                 "a.conf:2: drain_timeout: 'parsecs' is not a unit of time; those are us, ms, s, m, h and d"},
                {"[gateway]\ndrain_timeout = soon\n",
                 "a.conf:2: drain_timeout: 'soon' is not a duration such as 250ms, 90s or 5m"},
                {"[gateway]\ndrain_timeout = 2d\n", "a.conf:2: drain_timeout: '2d' is out of range: 0s to 1d"},
                {"[gateway]\nhead_timeout = 0s\n", "a.conf:2: head_timeout: '0s' is out of range: 10ms to 1d"},
                {"[gateway]\nmax_head = 128K\n", "a.conf:2: max_head: '128K' is out of range: 1K to 64K"},
                {"[gateway]\nmax_head = 1023\n", "a.conf:2: max_head: '1023' is out of range: 1K to 64K"},
                {"[gateway]\nmax_head = 64KB\n",
                 "a.conf:2: max_head: 'KB' is not a unit of size; those are K, M and G, or none for bytes"},
                {"[gateway]\nmax_body = big\n", "a.conf:2: max_body: 'big' is not a size such as 65536, 64K or 1G"},
                {"[gateway]\nmax_body = 1M\nmax_bodies = 1K\n", "a.conf:3: max_bodies (1K) is less than max_body (1M)"},
                {"[gateway]\nmax_body = 1G\n", "a.conf:2: max_bodies (512M) is less than max_body (1G)"},
                {"[journal]\nsize = 1K\n", "a.conf:2: size: '1K' is out of range: 64K to 16G"},
                {"[journal]\nsync = allways\n",
                 "a.conf:2: sync: 'allways' is not one of interval, always; did you mean 'always'?"},
                {"[log]\nlevel = loud\n", "a.conf:2: level: 'loud' is not one of err, warning, notice, info, debug"},
                {"[log]\naccess = maybe\n", "a.conf:2: access: 'maybe' is neither yes nor no"},
                {"[log]\nto = syslog\n",
                 "a.conf:2: to: 'syslog' is not one of auto, journal, stderr, file:/path, none"},
                {"[log]\nto = file:x.log\n", "a.conf:2: to: the path after file: must be absolute"},
                {"[gateway]\ngroup = two words\n", "a.conf:2: group: 'two words' is not the name of one group"},
                {"[gateway]\nstate_directory = state\n", "a.conf:2: state_directory: 'state' is not an absolute path"},
                {"[gateway]\nruntime_directory = "
                 "/ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\n",
                 "a.conf:2: runtime_directory: "
                 "'/ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\xe2\x80"
                 "\xa6' has more than 92 bytes"},
                {"[control]\nadmins = root nobody-of-this-name\n",
                 "a.conf:2: admins: this machine has no user 'nobody-of-this-name'"},
        };

        EACH(cases);
}

static void test_addresses_that_are_none(void **state)
{
        static const struct wrong cases[] = {
                {LISTENER "address = 127.0.0.1:99999\n", "a.conf:2: address: '127.0.0.1:99999': the port is not a "
                                                         "number from 0 to 65535; write 127.0.0.1:8000, "
                                                         "[::]:8443, 8000 or unix:/path"},
                {LISTENER "address = localhost:80\n",
                 "a.conf:2: address: 'localhost:80': names are not resolved, 127.0.0.1 is this machine; write "
                 "127.0.0.1:8000, [::]:8443, 8000 or unix:/path"},
                {LISTENER "address = example.org:80\n",
                 "a.conf:2: address: 'example.org:80': not a numeric IP address before the port; write 127.0.0.1:8000, "
                 "[::]:8443, 8000 or unix:/path"},
                {LISTENER "address = ::1:80\n", "a.conf:2: address: '::1:80': an IPv6 address stands in brackets; "
                                                "write 127.0.0.1:8000, [::]:8443, 8000 "
                                                "or unix:/path"},
                {LISTENER "address = [::1]\n",
                 "a.conf:2: address: '[::1]': there is no ]:port; write 127.0.0.1:8000, [::]:8443, 8000 or unix:/path"},
                {LISTENER "address = [1.2.3.4]:80\n",
                 "a.conf:2: address: '[1.2.3.4]:80': not an IPv6 address in the brackets; write 127.0.0.1:8000, "
                 "[::]:8443, 8000 or unix:/path"},
                {LISTENER "address = unix:x\n",
                 "a.conf:2: address: 'unix:x': the path must be absolute; write 127.0.0.1:8000, [::]:8443, 8000 or "
                 "unix:/path"},
        };

        EACH(cases);
}

static void test_providers_that_cannot_be_called(void **state)
{
        static const struct wrong cases[] = {
                {"[provider \"p\"]\n",
                 "a.conf:1: [provider \"p\"] has no dialect; write dialect = openai (or anthropic, azure, echo)"},
                {"[provider \"p\"]\ndialect = opanai\n",
                 "a.conf:2: dialect: 'opanai' is not one of openai, anthropic, azure, echo; did you mean 'openai'?"},
                {"[provider \"p\"]\ndialect = gemini\n",
                 "a.conf:2: dialect: 'gemini' is not one of openai, anthropic, azure, echo"},
                {OPENAI, "a.conf:1: [provider \"p\"] has no base_url; write base_url = https://api.openai.com/v1"},
                {"[provider \"p\"]\ndialect = anthropic\n",
                 "a.conf:1: [provider \"p\"] has no base_url; write base_url = https://api.anthropic.com/v1"},
                {"[provider \"p\"]\ndialect = azure\n",
                 "a.conf:1: [provider \"p\"] has no base_url; write base_url = https://NAME.openai.azure.com"},
                {AZURE "base_url = https://x\n",
                 "a.conf:1: [provider \"p\"] has no api_version; write api_version = 2024-10-21"},
                {AZURE "base_url = https://x/openai/\n",
                 "a.conf:3: base_url: of dialect azure it ends before /openai, which the gateway adds itself; for its "
                 "/openai/v1 there is dialect openai"},
                {AZURE "base_url = https://x/openai/v1\n",
                 "a.conf:3: base_url: of dialect azure it ends before /openai, which the gateway adds itself; for its "
                 "/openai/v1 there is dialect openai"},
                {AZURE "api_version = 2024 10\n",
                 "a.conf:3: api_version: '2024 10' is not a version such as 2024-10-21"},
                {AZURE "api_version = a&b=c\n", "a.conf:3: api_version: 'a&b=c' is not a version such as 2024-10-21"},
                {OPENAI "base_url = https://h\napi_version = 1\n",
                 "a.conf:4: api_version is not a setting of dialect openai"},
                {OPENAI "base_url = https://h\nmax_tokens = 1\n",
                 "a.conf:4: max_tokens is not a setting of dialect openai"},
                {ANTHROPIC "max_tokens = 0\n", "a.conf:4: max_tokens: '0' is out of range: 1 to 1000000"},
                {ANTHROPIC "responses = yes\n", "a.conf:4: responses is not a setting of dialect anthropic"},
                {OPENAI "responses = maybe\n", "a.conf:3: responses: 'maybe' is not one of no, yes"},
                {ECHO "quota_reset = 1h\n", "a.conf:3: quota_reset is not a setting of dialect echo"},
                {OPENAI "quota_reset = 24h\n", "a.conf:3: quota_reset: '24h' is out of range: 0s to 23h"},
                {"[provider \"p\"]\ndialect = anthropic\nbase_url = https://h/v1/messages\n",
                 "a.conf:3: base_url: the URL ends with /messages, which the gateway adds itself; leave it out"},
                {OPENAI "base_url = http://h\nbase_url =\n", "a.conf:4: 'base_url' is set in line 3 already"},
                {OPENAI "base_url = http://h\npace = 1ms\n", "a.conf:4: pace is not a setting of dialect openai"},
                {ECHO "base_url = http://h\n", "a.conf:3: base_url is not a setting of dialect echo"},
                {ECHO "pool_max = 3\n", "a.conf:3: pool_max is not a setting of dialect echo"},
                {OPENAI "base_url = ftp://u:secret@x\n",
                 "a.conf:3: base_url: ftp:// cannot be called; write https:// or http://"},
                {OPENAI "base_url = api.openai.com/v1\n",
                 "a.conf:3: base_url: the URL does not begin with https:// or http://"},
                {OPENAI "base_url = https://u:secret@h/v1\n",
                 "a.conf:3: base_url: the URL holds a user name or password; leave them out and write api_key = "
                 "credential:, file: or env:"},
                {OPENAI "base_url = https://h/v1?key=secret\n",
                 "a.conf:3: base_url: the URL has a query (?); leave it out"},
                {OPENAI "base_url = https://h/v1#secret\n",
                 "a.conf:3: base_url: the URL has a fragment (#); leave it out"},
                {OPENAI "base_url = https:///v1\n", "a.conf:3: base_url: the URL has no host"},
                {OPENAI "base_url = https://a..b/v1\n",
                 "a.conf:3: base_url: the URL has a host that is neither a name nor an address"},
                {OPENAI "base_url = https://h:0/v1\n",
                 "a.conf:3: base_url: the URL has a port that is not a number from 1 to 65535"},
                {OPENAI "base_url = https://h:65536\n",
                 "a.conf:3: base_url: the URL has a port that is not a number from 1 to 65535"},
                {OPENAI "base_url = https://[::1\n", "a.conf:3: base_url: the URL has no ] after the IPv6 address"},
                {OPENAI "base_url = https://[h]\n", "a.conf:3: base_url: the URL has no IPv6 address between [ and ]"},
                {OPENAI "base_url = https://[::1]x\n",
                 "a.conf:3: base_url: the URL has a port that is not a number from 1 to 65535"},
                {OPENAI "base_url = https://h/a b\n",
                 "a.conf:3: base_url: the URL has a byte in its path that must be written as %XX"},
                {OPENAI "base_url = https://h/v1/chat/completions\n",
                 "a.conf:3: base_url: the URL ends with /chat/completions, which the gateway adds itself; leave it "
                 "out"},
                {OPENAI "base_url = http://h\nca_file = ca.pem\n",
                 "a.conf:4: ca_file: 'ca.pem' is not an absolute path"},
                {OPENAI "base_url = http://h\npool_max = 0\n", "a.conf:4: pool_max: '0' is out of range: 1 to 65536"},
        };

        EACH(cases);
}

static void test_models_that_lead_nowhere(void **state)
{
        static const struct wrong cases[] = {
                {"[model \"m\"]\n", "a.conf:1: [model \"m\"] has no target; write target = PROVIDER"},
                {ECHO "[model \"m\"]\ntarget = echo\ntarget =\n",
                 "a.conf:3: [model \"m\"] has no target; write target = PROVIDER"},
                {ECHO "[model \"m\"]\ntarget = ecko/x weight=3\n",
                 "a.conf:4: target: there is no [provider \"ecko\"]; did you mean 'echo'?"},
                {"[model \"m\"]\ntarget = moonshot\n", "a.conf:2: target: there is no [provider \"moonshot\"]"},
                {ECHO "[model \"m\"]\ntarget = /x\n", "a.conf:4: target: before the / comes the name of a provider"},
                {ECHO "[model \"m\"]\ntarget = echo/\n",
                 "a.conf:4: target: after the / comes the provider's name of the model; leave both out to pass the "
                 "client's name on"},
                {ECHO "[model \"m-*\"]\ntarget = echo/x-*\n", "a.conf:4: target: the provider's name of a model has no "
                                                              "*; leave it out to pass the client's name on"},
                {ECHO "[model \"m\"]\ntarget = echo wieght=3\n",
                 "a.conf:4: target: 'wieght=3' is not an option of a target; there are weight=N and context=N"},
                {ECHO "[model \"m\"]\ntarget = echo weight\n",
                 "a.conf:4: target: 'weight' is not an option of a target; there are weight=N and context=N"},
                {ECHO "[model \"m\"]\ntarget = echo context=128k\n",
                 "a.conf:4: target: '128k' is not a number from 1 to 1000000000"},
                {ECHO "[model \"m\"]\ntarget = echo context=1 context=1\n", "a.conf:4: target: context= stands twice"},
                {ECHO "[model \"m\"]\nfallback = echo\n",
                 "a.conf:3: [model \"m\"] has no target; write target = PROVIDER"},
                {ECHO "[model \"m\"]\ntarget = echo\nfallback = echo weight=2\n",
                 "a.conf:5: fallback: 'weight=2' is not an option of a fallback; there is context=N"},
                {ECHO "[model \"m\"]\ntarget = echo\nlarger = echo weight=2\n",
                 "a.conf:5: larger: 'weight=2' is not an option of a larger one; there is context=N"},
                {ECHO "[model \"m\"]\ntarget = echo\nfallback = ecko/x\n",
                 "a.conf:5: fallback: there is no [provider \"ecko\"]; did you mean 'echo'?"},
                {ECHO "[model \"m\"]\ntarget = echo\nlarger = ehco\n",
                 "a.conf:5: larger: there is no [provider \"ehco\"]; did you mean 'echo'?"},
                {ECHO "[model \"m\"]\ntarget = echo\nlarger = /x\n",
                 "a.conf:5: larger: before the / comes the name of a provider"},
                {ECHO "[model \"m\"]\ntarget = echo weight=0\n",
                 "a.conf:4: target: '0' is not a number from 1 to 1000"},
                {ECHO "[model \"m\"]\ntarget = echo weight=1001\n",
                 "a.conf:4: target: '1001' is not a number from 1 to 1000"},
                {ECHO "[model \"m\"]\ntarget = echo weight=1 weight=2\n", "a.conf:4: target: weight= stands twice"},
                {ECHO "[model \"a*b\"]\ntarget = echo\n",
                 "a.conf:3: [model \"a*b\"]: * may stand at the end of a name only: \"gpt-*\""},
                {ECHO "[model \"a**\"]\ntarget = echo\n",
                 "a.conf:3: [model \"a**\"]: * may stand at the end of a name only: \"gpt-*\""},
                {ECHO "[model \" a\"]\ntarget = echo\n",
                 "a.conf:3: [model \" a\"]: the name begins or ends with a blank"},
        };

        EACH(cases);
}

static void test_models_that_contradict_themselves(void **state)
{
        static const struct wrong cases[] = {
                {M "strategy = orderd\n",
                 "a.conf:5: strategy: 'orderd' is not one of weighted, ordered, least_latency, "
                 "cheapest; did you mean 'ordered'?"},
                {M "affinity = user\n", "a.conf:5: affinity: 'user' is not one of none, conversation, key"},
                {M "strategy = ordered\naffinity = key\n", "a.conf:6: affinity is for strategy = weighted"},
                {M "affinity = conversation\nstrategy = cheapest\n", "a.conf:5: affinity is for strategy = weighted"},
                {M "retries = 9\n", "a.conf:5: retries: '9' is out of range: 0 to 8"},
                {M "on_disconnect = stop\n", "a.conf:5: on_disconnect: 'stop' is not one of cancel, drain"},
                {M "drain_time = 10s\n", "a.conf:5: drain_time is for on_disconnect = drain"},
                {M "on_disconnect = cancel\ndrain_tokens = 10\n",
                 "a.conf:6: drain_tokens is for on_disconnect = drain"},
                {M "on_disconnect = drain\ndrain_tokens = 0\n",
                 "a.conf:6: drain_tokens: '0' is out of range: 1 to 10000000"},
                {M "on_disconnect = drain\ndrain_time = 2h\n",
                 "a.conf:6: drain_time: '2h' is out of range: 10ms to 1h"},
                {M "alias = x-*\n", "a.conf:5: alias: 'x-*': an alias has no *; write a section [model] for a pattern"},
                {M "alias = m\n", "a.conf:5: alias: 'm' is the name of [model \"m\"] already (a.conf:3)"},
                {M "alias = a b\nalias = c a\n",
                 "a.conf:6: alias: 'a' is an alias of [model \"m\"] already (a.conf:5)"},
                {M "alias = a\n[model \"n\"]\ntarget = echo\nalias = b, a\n",
                 "a.conf:8: alias: 'a' is an alias of [model \"m\"] already (a.conf:5)"},
                {M "alias = n\n[model \"n\"]\ntarget = echo\n",
                 "a.conf:5: alias: 'n' is the name of [model \"n\"] already (a.conf:6)"},
        };

        EACH(cases);
}

static void test_too_many_targets(void **state)
{
        static const char *const kinds[] = {"target", "fallback", "larger"};
        char text[4096] = M;
        size_t n = strlen(text);

        TEST_ENV();
        for (unsigned i = 0; i < SG_TARGETS_MAX; i++) /* with the one of M one more than fits */
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s = echo/%u\n", kinds[i % 3], i);
        assert_true(n < sizeof(text));
        test_wrong(text, "a.conf:3: [model \"m\"] has more than 64 targets, fallbacks and larger ones");
}

/* Nothing of a line is told that could be the secret, written where its name or its source belongs. */
static void test_credentials(void **state)
{
        static const struct wrong cases[] = {
                {KEYS "credential = sk-in-the-clear\n",
                 "a.conf:5: credential: write a name for it, then where the secret is: credential:NAME, file:/path or "
                 "env:NAME"},
                {KEYS "credential = env:KEY\n",
                 "a.conf:5: credential: write a name for it, then where the secret is: credential:NAME, file:/path or "
                 "env:NAME"},
                {KEYS "credential = b sk-in-the-clear\n",
                 "a.conf:5: credential: a secret may not stand in the configuration; write credential:NAME, file:/path "
                 "or env:NAME"},
                {KEYS "credential = sk-/+== priority=2\n",
                 "a.conf:5: credential: a secret may not stand in the configuration; write credential:NAME, file:/path "
                 "or env:NAME"},
                {KEYS "credential = sk-/+== env:KEY\n",
                 "a.conf:5: credential: the name of a credential is made of letters, digits, . _ -"},
                {KEYS "credential = b env:KEY sk-in-the-clear\n",
                 "a.conf:5: credential: something else follows the source of a credential; there are priority=N and "
                 "daily_tokens=N"},
                {KEYS "credential = b env:KEY sk-in=the-clear\n",
                 "a.conf:5: credential: something else follows the source of a credential; there are priority=N and "
                 "daily_tokens=N"},
                {KEYS "credential = b env:KEY priority=0\n", "a.conf:5: credential: '0' is not a number from 1 to 100"},
                {KEYS "credential = b env:KEY priority=101\n",
                 "a.conf:5: credential: '101' is not a number from 1 to 100"},
                {KEYS "credential = b env:KEY daily_tokens=1M\n",
                 "a.conf:5: credential: '1M' is not a number from 1 to 1000000000000000"},
                {KEYS "credential = b env:KEY priority=1 priority=2\n", "a.conf:5: credential: priority= stands twice"},
                {KEYS "credential = api_key env:KEY\n",
                 "a.conf:5: credential: so is the one called that the setting api_key names; choose another name"},
                {KEYS "credential = b env:KEY\ncredential = b env:KEY priority=2\n",
                 "a.conf:6: credential: there is one called 'b' already (a.conf:5)"},
                {KEYS "credential = b env:UNSET\n", "a.conf:5: credential: the environment variable UNSET is not set; "
                                                    "set it where the gateway is started"},
                {ECHO "credential = b env:KEY\n", "a.conf:3: credential is not a setting of dialect echo"},
        };
        char text[4096] = KEYS;
        size_t n = strlen(text);

        TEST_ENV("KEY=sk-x");
        for (size_t i = 0; i < SG_N_ELEMENTS(cases); i++)
                test_wrong(cases[i].text, cases[i].expected);
        for (unsigned i = 0; i < SG_CREDENTIALS_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "credential = c%u env:KEY\n", i);
        test_wrong(text, "a.conf:20: credential: there are more than 16, with api_key");
}

static void test_tls_of_listeners(void **state)
{
        static const struct wrong cases[] = {
                {LISTENER "tls_certificate = /etc/tls.crt\n",
                 "a.conf:2: tls_certificate: write file:/path or credential:NAME"},
                {LISTENER "tls_certificate = file:tls.crt\n",
                 "a.conf:2: tls_certificate: the path after file: must be absolute"},
                {LISTENER "tls_key = credential:a/b\n",
                 "a.conf:2: tls_key: credential: is followed by a name of letters, digits, . _ -"},
                {LISTENER "tls_certificate = file:/a\ntls_certificate = file:/b\ntls_key = file:/c\n",
                 "a.conf:1: [listener \"http\"] has 2 tls_certificate and 1 tls_key: each certificate needs its key, "
                 "in "
                 "the same order"},
                {LISTENER "client_certificate = optional\n",
                 "a.conf:1: [listener \"http\"] asks for client certificates, but has no tls_certificate of its own"},
                {LISTENER "tls_certificate = file:/a\ntls_key = file:/b\nclient_certificate = required\n",
                 "a.conf:1: [listener \"http\"] asks for client certificates, but has no client_ca that they must lead "
                 "to"},
                {LISTENER "client_certificate = maybe\n",
                 "a.conf:2: client_certificate: 'maybe' is not one of none, optional, required"},
        };

        EACH(cases);
}

static void test_secrets_in_the_clear_are_refused_unseen(void **state)
{
        static const char *const values[] = {"sk-in-the-clear", "Bearer sk-x", "secret:abc", "https://sk-x", "ENV:X"};
        char text[256];

        TEST_ENV();
        for (size_t i = 0; i < SG_N_ELEMENTS(values); i++) {
                snprintf(text, sizeof(text), OPENAI "base_url = http://h\napi_key = %s\n", values[i]);
                test_wrong(text,
                           "a.conf:4: api_key: a secret may not stand in the configuration; write credential:NAME, "
                           "file:/path or env:NAME");
        }
        /* Where the form of the line is lost, nothing of it is told either. */
        test_wrong(OPENAI "api_key sk-in-the-clear\n",
                   "a.conf:3: neither a heading nor a setting; a setting is written name = value");
        test_wrong(OPENAI "api_key sk-in-the-clear = x\n",
                   "a.conf:3: a setting is written name = value, the name of letters, digits and _");
}

static void test_long_values_are_cut_between_characters(void **state)
{
        struct sg_config *c = NULL;
        struct sg_error err;
        struct sg_buf b;

        TEST_ENV();
        for (int lead = 0; lead < 3; lead++) {
                sg_buf_init(&b, 1 << 20);
                assert_int_equal(sg_buf_printf(&b, "[log]\nlevel = %.*s", lead, "abc"), 0);
                for (int i = 0; i < 1000; i++)
                        assert_int_equal(sg_buf_add(&b, SG_STR("\xe2\x82\xac")), 0);
                assert_int_equal(sg_buf_add(&b, sg_str_make("", 1)), 0);
                assert_true(test_read(&c, sg_buf_view(&b).p, &err) < 0);
                assert_true(sg_str_is_utf8(sg_str_from(err.text)));
                assert_non_null(strstr(err.text, "\xe2\x82\xac\xe2\x80\xa6' is not one of err"));
                assert_true(strlen(err.text) < 200);
                sg_buf_done(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words_that_do_not_exist),
                cmocka_unit_test(test_values_that_are_none),
                cmocka_unit_test(test_addresses_that_are_none),
                cmocka_unit_test(test_providers_that_cannot_be_called),
                cmocka_unit_test(test_models_that_lead_nowhere),
                cmocka_unit_test(test_models_that_contradict_themselves),
                cmocka_unit_test(test_too_many_targets),
                cmocka_unit_test(test_credentials),
                cmocka_unit_test(test_tls_of_listeners),
                cmocka_unit_test(test_secrets_in_the_clear_are_refused_unseen),
                cmocka_unit_test(test_long_values_are_cut_between_characters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
