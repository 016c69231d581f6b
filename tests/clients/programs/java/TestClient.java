import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.centrifugal.centrifuge.*;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * The SDK centrifuge-java, which speaks Protobuf: takes a command from each line of standard input, and prints events
 * and results as lines of JSON. See tests/clients/sdk.py.
 */
public class TestClient {
    private static final int MIN_DELAY = 20;
    private static final int MAX_DELAY = 250;
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    private final PrintStream output = new PrintStream(System.out, true, UTF_8);
    private final Map<String, Client> clients = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        TestClient driver = new TestClient();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            driver.perform(JsonParser.parseString(line).getAsJsonObject());
        }
        System.exit(0);
    }

    private synchronized void report(JsonObject line) {
        output.println(GSON.toJson(line));
    }

    private static byte[] encode(JsonElement value) {
        return GSON.toJson(value).getBytes(UTF_8);
    }

    private static JsonElement decode(byte[] data) {
        return data == null || data.length == 0 ? JsonNull.INSTANCE : JsonParser.parseString(new String(data, UTF_8));
    }

    private static String text(JsonObject command, String key) {
        return command.has(key) ? command.get(key).getAsString() : "";
    }

    private static boolean flag(JsonObject command, String key) {
        return command.has(key) && command.get(key).getAsBoolean();
    }

    private static void put(JsonObject line, ClientInfo found) {
        line.addProperty("client", found.getClient());
        line.addProperty("user", found.getUser());
        line.add("conn_info", decode(found.getConnInfo()));
        line.add("chan_info", decode(found.getChanInfo()));
    }

    private static JsonObject object(ClientInfo found) {
        JsonObject made = new JsonObject();
        put(made, found);
        return made;
    }

    private static void put(JsonObject line, byte[] data, long offset, ClientInfo publisher, Map<String, String> tags) {
        line.add("data", decode(data));
        line.add("offset", offset > 0 ? GSON.toJsonTree(offset) : JsonNull.INSTANCE);
        line.add("info", publisher == null ? JsonNull.INSTANCE : object(publisher));
        line.add("tags", tags == null || tags.isEmpty() ? JsonNull.INSTANCE : GSON.toJsonTree(tags));
    }

    /** Its fields are not public, and this object has no other form. */
    private static void put(JsonObject line, StreamPosition position) {
        if (position == null) {
            return;
        }
        JsonObject fields = GSON.toJsonTree(position).getAsJsonObject();
        line.add("offset", fields.get("offset"));
        line.add("epoch", fields.get("epoch"));
    }

    private static JsonObject event(String event, String name) {
        JsonObject line = new JsonObject();
        line.addProperty("event", event);
        line.addProperty("name", name);
        return line;
    }

    private static JsonObject event(String event, String name, String channel) {
        JsonObject line = event(event, name);
        line.addProperty("channel", channel);
        return line;
    }

    private static JsonObject coded(JsonObject line, int code, String reason) {
        line.addProperty("code", code);
        line.addProperty("reason", reason);
        return line;
    }

    private static Queue<String> tokens(JsonObject command) {
        Queue<String> tokens = new ArrayDeque<>();
        command.getAsJsonArray("tokens").forEach(token -> tokens.add(token.getAsString()));
        return tokens;
    }

    private void giveToken(Queue<String> tokens, JsonObject line, TokenCallback callback) {
        report(line);
        if (tokens.isEmpty()) {
            callback.Done(new IllegalStateException("there is no token left"), "");
        } else {
            callback.Done(null, tokens.remove());
        }
    }

    private void connect(JsonObject command, String name) {
        Options options = new Options();
        options.setToken(text(command, "token"));
        options.setMinReconnectDelay(MIN_DELAY);
        options.setMaxReconnectDelay(MAX_DELAY);
        if (command.has("tokens")) {
            Queue<String> tokens = tokens(command);
            options.setTokenGetter(new ConnectionTokenGetter() {
                @Override
                public void getConnectionToken(ConnectionTokenEvent event, TokenCallback callback) {
                    giveToken(tokens, event("token wanted", name), callback);
                }
            });
        }
        String url = text(command, "url");
        Client client =
            new Client(url, options, new ClientEvents(name));
        clients.put(name, client);
        client.connect();
    }

    private void subscribe(JsonObject command, String name, String channel) throws DuplicateSubscriptionException {
        Client client = clients.get(name);
        Subscription known = client.getSubscription(channel);
        if (known != null) {
            known.subscribe();
            return;
        }
        SubscriptionOptions options = new SubscriptionOptions();
        options.setToken(text(command, "token"));
        options.setRecoverable(flag(command, "recoverable"));
        options.setPositioned(flag(command, "positioned"));
        options.setJoinLeave(flag(command, "join_leave"));
        options.setMinResubscribeDelay(MIN_DELAY);
        options.setMaxResubscribeDelay(MAX_DELAY);
        if (command.has("tokens")) {
            Queue<String> tokens = tokens(command);
            options.setTokenGetter(new SubscriptionTokenGetter() {
                @Override
                public void getSubscriptionToken(SubscriptionTokenEvent event, TokenCallback callback) {
                    giveToken(tokens, event("subscription token wanted", name, channel), callback);
                }
            });
        }
        client.newSubscription(channel, options, new SubscriptionEvents(name)).subscribe();
    }

    private void perform(JsonObject command) throws DuplicateSubscriptionException {
        String name = text(command, "name");
        String channel = text(command, "channel");
        Client client = clients.get(name);
        int call = command.get("call").getAsInt();
        switch (command.get("do").getAsString()) {
            case "connect" -> {
                connect(command, name);
                finish(call, null, JsonNull.INSTANCE);
            }
            case "reconnect" -> {
                client.connect();
                finish(call, null, JsonNull.INSTANCE);
            }
            case "disconnect" -> {
                client.disconnect();
                finish(call, null, JsonNull.INSTANCE);
            }
            case "subscribe" -> {
                subscribe(command, name, channel);
                finish(call, null, JsonNull.INSTANCE);
            }
            case "unsubscribe" -> {
                client.getSubscription(channel).unsubscribe();
                finish(call, null, JsonNull.INSTANCE);
            }
            case "publish" -> client.publish(channel, encode(command.get("data")),
                (error, result) -> finish(call, error, JsonNull.INSTANCE));
            case "history" -> client.history(channel, historyOptions(command),
                (error, result) -> finish(call, error, error == null ? history(result) : null));
            case "presence" -> client.presence(channel,
                (error, result) -> finish(call, error, error == null ? presence(result) : null));
            case "presence_stats" -> client.presenceStats(channel, (error, result) -> {
                JsonObject made = new JsonObject();
                if (error == null) {
                    made.addProperty("num_clients", result.getNumClients());
                    made.addProperty("num_users", result.getNumUsers());
                }
                finish(call, error, made);
            });
            case "rpc" -> client.rpc(text(command, "method"), encode(command.get("data")),
                (error, result) -> finish(call, error, error == null ? decode(result.getData()) : null));
            case "send" -> client.send(encode(command.get("data")), error -> finish(call, error, JsonNull.INSTANCE));
            default -> throw new IllegalArgumentException(command.toString());
        }
    }

    private void finish(int call, Throwable error, JsonElement result) {
        JsonObject line = new JsonObject();
        line.addProperty("call", call);
        if (error == null) {
            line.add("result", result);
        } else {
            JsonObject failure = new JsonObject();
            failure.addProperty("code", error instanceof ReplyError reply ? reply.getCode() : 0);
            failure.addProperty("message", String.valueOf(error.getMessage()));
            line.add("error", failure);
        }
        report(line);
    }

    private static HistoryOptions historyOptions(JsonObject command) {
        HistoryOptions.Builder options = new HistoryOptions.Builder();
        if (command.has("limit")) {
            options.withLimit(command.get("limit").getAsInt());
        }
        if (command.has("since")) {
            JsonObject since = command.getAsJsonObject("since");
            options.withSince(new StreamPosition(since.get("offset").getAsLong(), since.get("epoch").getAsString()));
        }
        return options.withReverse(flag(command, "reverse")).build();
    }

    private static JsonObject history(HistoryResult found) {
        JsonObject made = new JsonObject();
        made.addProperty("offset", found.getOffset());
        made.addProperty("epoch", found.getEpoch());
        JsonArray publications = new JsonArray();
        for (Publication each : found.getPublications()) {
            JsonObject line = new JsonObject();
            put(line, each.getData(), each.getOffset(), each.getInfo(), null);
            publications.add(line);
        }
        made.add("publications", publications);
        return made;
    }

    private static JsonArray presence(PresenceResult found) {
        JsonArray made = new JsonArray();
        found.getClients().values().forEach(each -> made.add(object(each)));
        return made;
    }

    /** Reports the events of a client, and those of its subscriptions by the server. */
    private class ClientEvents extends EventListener {
        private final String name;

        ClientEvents(String name) {
            this.name = name;
        }

        @Override
        public void onConnecting(Client client, ConnectingEvent event) {
            report(coded(event("connecting", name), event.getCode(), event.getReason()));
        }

        @Override
        public void onConnected(Client client, ConnectedEvent event) {
            JsonObject line = event("connected", name);
            line.addProperty("client", event.getClient());
            report(line);
        }

        @Override
        public void onDisconnected(Client client, DisconnectedEvent event) {
            report(coded(event("disconnected", name), event.getCode(), event.getReason()));
        }

        @Override
        public void onError(Client client, ErrorEvent event) {
            JsonObject line = event("error", name);
            line.addProperty("message", String.valueOf(event.getError()));
            report(line);
        }

        @Override
        public void onSubscribed(Client client, ServerSubscribedEvent event) {
            JsonObject line = event("server subscribed", name, event.getChannel());
            line.addProperty("recoverable", event.getRecoverable());
            line.addProperty("positioned", event.getPositioned());
            line.addProperty("was_recovering", event.wasRecovering());
            line.addProperty("recovered", event.getRecovered());
            put(line, event.getStreamPosition());
            report(line);
        }

        @Override
        public void onUnsubscribed(Client client, ServerUnsubscribedEvent event) {
            report(event("server unsubscribed", name, event.getChannel()));
        }

        @Override
        public void onPublication(Client client, ServerPublicationEvent event) {
            JsonObject line = event("server publication", name, event.getChannel());
            put(line, event.getData(), event.getOffset(), event.getInfo(), event.getTags());
            report(line);
        }

        @Override
        public void onJoin(Client client, ServerJoinEvent event) {
            JsonObject line = event("server join", name, event.getChannel());
            put(line, event.getInfo());
            report(line);
        }

        @Override
        public void onLeave(Client client, ServerLeaveEvent event) {
            JsonObject line = event("server leave", name, event.getChannel());
            put(line, event.getInfo());
            report(line);
        }
    }

    /** Reports the events of a subscription. */
    private class SubscriptionEvents extends SubscriptionEventListener {
        private final String name;

        SubscriptionEvents(String name) {
            this.name = name;
        }

        @Override
        public void onSubscribing(Subscription subscription, SubscribingEvent event) {
            report(coded(event("subscribing", name, subscription.getChannel()), event.getCode(), event.getReason()));
        }

        @Override
        public void onSubscribed(Subscription subscription, SubscribedEvent event) {
            JsonObject line = event("subscribed", name, subscription.getChannel());
            line.addProperty("recoverable", event.getRecoverable());
            line.addProperty("positioned", event.getPositioned());
            line.addProperty("was_recovering", event.wasRecovering());
            line.addProperty("recovered", event.getRecovered());
            put(line, event.getStreamPosition());
            report(line);
        }

        @Override
        public void onUnsubscribed(Subscription subscription, UnsubscribedEvent event) {
            report(coded(event("unsubscribed", name, subscription.getChannel()), event.getCode(), event.getReason()));
        }

        @Override
        public void onPublication(Subscription subscription, PublicationEvent event) {
            JsonObject line = event("publication", name, subscription.getChannel());
            put(line, event.getData(), event.getOffset(), event.getInfo(), event.getTags());
            report(line);
        }

        @Override
        public void onJoin(Subscription subscription, JoinEvent event) {
            JsonObject line = event("join", name, subscription.getChannel());
            put(line, event.getInfo());
            report(line);
        }

        @Override
        public void onLeave(Subscription subscription, LeaveEvent event) {
            JsonObject line = event("leave", name, subscription.getChannel());
            put(line, event.getInfo());
            report(line);
        }

        @Override
        public void onError(Subscription subscription, SubscriptionErrorEvent event) {
            JsonObject line = event("subscription error", name, subscription.getChannel());
            line.addProperty("message", String.valueOf(event.getError()));
            report(line);
        }
    }
}
