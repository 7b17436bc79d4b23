import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.Configuration;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestLoginModule;

/**
 * Makes Apache ZooKeeper's own client send every request that it can send, one step at a time.
 *
 * Arguments: the address, and which part of the conversation. Every line on standard output is "step NAME COMMENT"
 * or "cut" (close all connections), and is to be answered with a line on standard input before it goes on.
 */
public class Conversation {
    static final PrintStream STEPS = System.out;
    static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));
    static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;
    static final byte[] DATA = "data".getBytes();

    public static void main(String[] args) throws Exception {
        System.setOut(System.err); // The client's log goes to standard output unless told otherwise.
        Configuration.setConfiguration(new Logins());
        String address = args[0];
        switch (args[1]) {
            case "standalone" -> standalone(address);
            case "ensemble" -> ensemble(address);
            case "read-only" -> readOnly(address);
            default -> throw new IllegalArgumentException(args[1]);
        }
        System.exit(0); // Clients that were refused may still have threads.
    }

    static void standalone(String address) throws Exception {
        step("connect", "The handshake of a new session.");
        Client client = new Client(address, 30_000);
        ZooKeeper zk = client.zk;

        step("create", "create: a persistent znode, with data and the open ACL.");
        zk.create("/golden", DATA, OPEN, CreateMode.PERSISTENT);
        step("create-null", "create: no data (null, not empty).");
        zk.create("/golden/null", null, OPEN, CreateMode.PERSISTENT);
        step("create-sequential", "create: the reply's path has the number.");
        zk.create("/golden/seq-", new byte[0], OPEN, CreateMode.PERSISTENT_SEQUENTIAL);
        step("create-ephemeral-sequential", "create: ephemeral and sequential.");
        zk.create("/golden/eph-", DATA, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL);
        step("create2", "create2: the reply has path and stat.");
        zk.create("/golden/ephemeral", DATA, OPEN, CreateMode.EPHEMERAL, new Stat());
        step("create-container", "createContainer.");
        zk.create("/golden/container", DATA, OPEN, CreateMode.CONTAINER, new Stat());
        step("create-ttl", "createTTL.");
        zk.create("/golden/ttl", DATA, OPEN, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 3_600_000);
        step("create-sequential-ttl", "createTTL: sequential.");
        zk.create("/golden/ttl-", DATA, OPEN, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, new Stat(), 86_400_000);
        step("create-fails", "Errors of create: -110, -101, -108, -114.");
        fails(() -> zk.create("/golden", DATA, OPEN, CreateMode.PERSISTENT));
        fails(() -> zk.create("/missing/child", DATA, OPEN, CreateMode.PERSISTENT));
        fails(() -> zk.create("/golden/ephemeral/child", DATA, OPEN, CreateMode.PERSISTENT));
        List<ACL> nobody = Arrays.asList(new ACL(Perms.ALL, new Id("ip", "?")));
        fails(() -> zk.create("/golden/nobody", DATA, nobody, CreateMode.PERSISTENT));

        step("exists", "exists: a znode of each kind, and one that is not there, with a watch.");
        zk.exists("/golden", false);
        zk.exists("/golden/ephemeral", false);
        zk.exists("/golden/container", false);
        zk.exists("/golden/ttl", false);
        zk.exists("/golden/watched-exists", true);
        step("get-data", "getData: data, no data, empty data.");
        zk.getData("/golden", false, new Stat());
        zk.getData("/golden/null", false, new Stat());
        zk.getData("/golden/seq-0000000001", true, new Stat());
        fails(() -> zk.getData("/missing", true, null));
        step("set-data", "setData: any version, this version, no data, and -103.");
        zk.setData("/golden", "more data".getBytes(), -1);
        zk.setData("/golden", DATA, 1);
        zk.setData("/golden/null", null, 0);
        fails(() -> zk.setData("/golden", DATA, 1));
        step("get-children", "getChildren: several, and none.");
        zk.getChildren("/golden", false);
        zk.getChildren("/golden/null", true);
        step("get-children2", "getChildren2.");
        zk.getChildren("/golden", false, new Stat());
        step("sync", "sync.");
        sync(zk, "/golden");

        step("auth", "auth: the scheme digest, with xid -4.");
        zk.addAuthInfo("digest", "bench:secret".getBytes());
        sync(zk, "/golden");
        step("who-am-i", "whoAmI.");
        zk.whoAmI();
        step("set-acl", "setACL: several entries, one with a character outside of the basic plane; and -103.");
        ACL mine = new ACL(Perms.ALL, Ids.AUTH_IDS);
        ACL crab = new ACL(Perms.WRITE, new Id("digest", "\ud83e\udd80:x"));
        ACL anyone = new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE);
        zk.setACL("/golden/null", Arrays.asList(mine, crab, anyone), 0);
        fails(() -> zk.setACL("/golden/null", OPEN, 7));
        step("get-acl", "getACL: as the one who is allowed to see it, and of the root.");
        zk.getACL("/golden/null", new Stat());
        zk.getACL("/", new Stat());
        step("get-acl-masked", "getACL, setData and whoAmI of somebody else: ids are masked, and -102.");
        Client other = new Client(address, 30_000);
        other.zk.getACL("/golden/null", new Stat());
        fails(() -> other.zk.setData("/golden/null", DATA, -1));
        other.zk.whoAmI();

        step("multi", "multi: every op that the client knows.");
        zk.multi(List.of(
            Op.check("/golden", 2),
            Op.create("/golden/multi", DATA, OPEN, CreateMode.PERSISTENT),
            Op.create("/golden/multi/container", null, OPEN, CreateMode.CONTAINER),
            Op.create("/golden/multi/ttl", DATA, OPEN, CreateMode.PERSISTENT_WITH_TTL, 3_600_000),
            Op.setData("/golden/multi", "set".getBytes(), 0),
            Op.delete("/golden/multi/ttl", -1)));
        step("multi-fails", "multi: the third op fails, and the reply's header has no error.");
        fails(() -> zk.multi(List.of(
            Op.create("/golden/not-made", DATA, OPEN, CreateMode.EPHEMERAL),
            Op.setData("/golden", DATA, -1),
            Op.check("/golden", 99),
            Op.delete("/golden/multi", -1))));
        step("multi-read", "multiRead: each op has its own error.");
        zk.multi(List.of(
            Op.getData("/golden"),
            Op.getChildren("/golden"),
            Op.getData("/missing"),
            Op.getData("/golden/multi/container")));

        step("add-watch", "addWatch: persistent and persistent recursive; the reply has an error record.");
        Watcher watcher = event -> { };
        zk.addWatch("/golden/multi", watcher, AddWatchMode.PERSISTENT);
        zk.addWatch("/golden", watcher, AddWatchMode.PERSISTENT_RECURSIVE);
        step("event-created", "An event before the reply to the create that caused it.");
        zk.create("/golden/watched-exists", DATA, OPEN, CreateMode.PERSISTENT);
        step("event-data-changed", "An event for a data watch and a persistent recursive one: one for both.");
        zk.setData("/golden/seq-0000000001", DATA, -1);
        step("event-children-changed", "Events of a child watch, and of a persistent watch.");
        zk.create("/golden/null/child", DATA, OPEN, CreateMode.PERSISTENT);
        zk.create("/golden/multi/child", DATA, OPEN, CreateMode.PERSISTENT);
        step("event-deleted", "An event of a delete.");
        zk.delete("/golden/multi/child", -1);

        step("check-watches", "checkWatches: one watcher of two; and -121.");
        Watcher second = event -> { };
        zk.getData("/golden/multi", watcher, null);
        zk.getData("/golden/multi", second, null);
        zk.removeWatches("/golden/multi", second, WatcherType.Data, false);
        fails(() -> zk.removeWatches("/golden", second, WatcherType.Children, false));
        step("remove-watches", "removeWatches: all of a path; and -121.");
        zk.removeAllWatches("/golden/multi", WatcherType.Any, false);
        fails(() -> zk.removeAllWatches("/missing", WatcherType.Any, false));
        step("get-ephemerals", "getEphemerals: all, and below a path.");
        zk.getEphemerals();
        zk.getEphemerals("/golden/eph-");
        step("get-all-children-number", "getAllChildrenNumber.");
        zk.getAllChildrenNumber("/golden");
        step("delete", "delete: done, -103, -111, -101.");
        zk.delete("/golden/null/child", 0);
        fails(() -> zk.delete("/golden", 99));
        fails(() -> zk.delete("/golden", -1));
        fails(() -> zk.delete("/missing", -1));

        step("reconnect", "The handshake of a session that goes on, setWatches2, and the identities again.");
        zk.exists("/golden/watched-again", true);
        zk.getData("/golden", true, null);
        zk.getChildren("/golden/null", true);
        cut();
        client.await(KeeperState.SyncConnected);
        other.await(KeeperState.SyncConnected);
        sync(zk, "/golden");
        step("reconnect-without-persistent", "The same for a session without persistent watches: setWatches.");
        other.zk.exists("/golden/watched-again", true);
        other.zk.getData("/golden", true, null);
        other.zk.getChildren("/golden", true);
        cut();
        other.await(KeeperState.SyncConnected);
        client.await(KeeperState.SyncConnected);
        sync(other.zk, "/golden");

        step("reconfig-disabled", "reconfig: -123.");
        try (ZooKeeperAdmin admin = new ZooKeeperAdmin(address, 30_000, event -> { })) {
            fails(() -> admin.reconfigure("server.9=127.0.0.1:1:2;3", null, null, -1, new Stat()));
        }
        step("connect-again-expired", "The handshake of a session that the server does not know: id and timeout are 0.");
        Client expired = new Client(address, 0x123456789abcdefL, "not the password".getBytes());
        expired.await(KeeperState.Expired);
        step("auth-fails", "auth: a scheme that the server does not know: -115, then the end.");
        Client refused = new Client(address, 30_000);
        refused.zk.addAuthInfo("nonsense", DATA);
        refused.await(KeeperState.AuthFailed);
        step("sasl", "sasl: DIGEST-MD5.");
        Client sasl = new Client(address, login("Good"));
        sasl.await(KeeperState.SaslAuthenticated);
        sync(sasl.zk, "/golden");
        sasl.zk.whoAmI();
        step("sasl-fails", "sasl: a wrong password.");
        new Client(address, login("Bad")).await(KeeperState.AuthFailed);
        step("ping", "ping: a session with the shortest timeout has nothing to do.");
        Client idle = new Client(address, 4_000);
        Thread.sleep(2_500);
        idle.zk.close();
        step("close-session", "closeSession.");
        sasl.zk.close();
        other.zk.close();
        zk.close();
    }

    static void ensemble(String address) throws Exception {
        step("connect-ensemble", "The handshake with a member of an ensemble.");
        Client client = new Client(address, 30_000);
        step("get-config", "getData of the configuration.");
        client.zk.getConfig(false, new Stat());
        try (ZooKeeperAdmin admin = new ZooKeeperAdmin(address, 30_000, event -> { })) {
            step("reconfig", "reconfig: nothing new; -103 for another configuration's number; -13 without a quorum.");
            String[] config = new String(admin.getConfig(false, new Stat())).split("\n");
            admin.reconfigure(config[0], null, null, -1, new Stat());
            fails(() -> admin.reconfigure(null, "3", null, 77, new Stat()));
            String strangers = "server.8=127.0.0.1:1:2;127.0.0.1:3,server.9=127.0.0.1:4:5;127.0.0.1:6";
            fails(() -> admin.reconfigure(null, null, strangers, -1, new Stat()));
        }
        client.zk.close();
    }

    static void readOnly(String address) throws Exception {
        step("connect-read-only", "The handshake with a member that has no quorum: both flags are set.");
        Client client = new Client(address, true);
        client.await(KeeperState.ConnectedReadOnly);
        step("write-to-read-only", "create: -119; exists: answered.");
        fails(() -> client.zk.create("/golden", DATA, OPEN, CreateMode.PERSISTENT));
        client.zk.exists("/", false);
        step("close-read-only", "closeSession at a read-only member.");
        client.zk.close();
    }

    /** A client, and the states that its session went through. */
    static class Client implements Watcher {
        final BlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();
        final ZooKeeper zk;

        Client(String address, int timeout) throws Exception {
            zk = new ZooKeeper(address, timeout, this);
            await(KeeperState.SyncConnected);
        }

        Client(String address, ZKClientConfig config) throws Exception {
            zk = new ZooKeeper(address, 30_000, this, config);
        }

        Client(String address, boolean canBeReadOnly) throws Exception {
            zk = new ZooKeeper(address, 30_000, this, canBeReadOnly);
        }

        Client(String address, long session, byte[] password) throws Exception {
            zk = new ZooKeeper(address, 30_000, this, session, password);
        }

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() == Event.EventType.None) {
                states.add(event.getState());
            }
        }

        void await(KeeperState wanted) throws Exception {
            KeeperState state;
            do {
                state = states.poll(30, TimeUnit.SECONDS);
                if (state == null) {
                    throw new IllegalStateException("the session has not become " + wanted);
                }
            } while (state != wanted);
        }
    }

    /** Logins for SASL: the section's name is that of a client's configuration. */
    static class Logins extends Configuration {
        @Override
        public AppConfigurationEntry[] getAppConfigurationEntry(String section) {
            if (!section.equals("Good") && !section.equals("Bad")) {
                return null;
            }
            Map<String, String> options =
                Map.of("username", "bench", "password", section.equals("Good") ? "secret" : "guess");
            return new AppConfigurationEntry[] {new AppConfigurationEntry(
                DigestLoginModule.class.getName(), AppConfigurationEntry.LoginModuleControlFlag.REQUIRED, options)};
        }
    }

    static ZKClientConfig login(String section) {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, section);
        return config;
    }

    static void step(String name, String comment) throws Exception {
        tell("step " + name + " " + comment);
    }

    static void cut() throws Exception {
        tell("cut");
    }

    static void tell(String line) throws Exception {
        STEPS.println(line);
        STEPS.flush();
        ANSWERS.readLine();
    }

    static void sync(ZooKeeper zk, String path) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        zk.sync(path, (code, p, context) -> done.countDown(), null);
        if (!done.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no reply to sync");
        }
    }

    interface Action {
        void run() throws Exception;
    }

    static void fails(Action action) throws Exception {
        try {
            action.run();
        } catch (KeeperException e) {
            return;
        }
        throw new IllegalStateException("this should have failed");
    }
}
