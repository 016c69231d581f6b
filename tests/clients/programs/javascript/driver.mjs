// Carries out the commands of tests/clients/sdk.py with the SDK `centrifuge`, in Node and in browsers.

const DELAYS = { minReconnectDelay: 20, maxReconnectDelay: 250 };
const RESUBSCRIBE_DELAYS = { minResubscribeDelay: 20, maxResubscribeDelay: 250 };

/**
 * Make a function that carries out commands.
 *
 * @param Centrifuge the SDK's class: that for JSON, or that for Protobuf
 * @param report called with each event and each result
 * @param binary whether the SDK takes and gives bytes instead of values
 * @param options returns more options of a client for its address
 * @param endpoint returns what the SDK is given as the address
 */
export function makeDriver({ Centrifuge, report, binary = false, options = () => ({}), endpoint = (url) => url }) {
  const clients = new Map();
  const encode = (value) => (binary ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const decode = (data) => (binary && data != null ? JSON.parse(new TextDecoder().decode(data)) : data);

  const info = (found) =>
    found && {
      client: found.client,
      user: found.user,
      conn_info: decode(found.connInfo?.length === 0 ? undefined : found.connInfo),
      chan_info: decode(found.chanInfo?.length === 0 ? undefined : found.chanInfo),
    };
  const publication = ({ data, offset, info: publisher, tags }) => ({
    data: decode(data),
    offset,
    info: info(publisher),
    tags: tags && Object.keys(tags).length ? tags : undefined,
  });
  const subscribed = ({ channel, recoverable, positioned, wasRecovering, recovered, streamPosition }) => ({
    channel,
    recoverable,
    positioned,
    was_recovering: wasRecovering,
    recovered,
    ...streamPosition,
  });

  /** Return a function that gives the SDK one token after the other, and reports that it was asked. */
  function getter(tokens, event, details) {
    if (!tokens) return undefined;
    return async () => {
      report({ event, ...details });
      if (!tokens.length) throw new Error("there is no token left");
      return tokens.shift();
    };
  }

  /** Report the events that a client has for subscriptions by the server, and a subscription has by itself. */
  function observe(emitter, prefix, name, channel) {
    const on = (event, form) => emitter.on(event, (context) => report({ event: prefix + event, name, ...form(context) }));
    const of = (context) => ({ channel: channel ?? context.channel });
    on("subscribing", ({ code, ...context }) => ({ ...of(context), code }));
    on("subscribed", subscribed);
    on("unsubscribed", ({ code, reason, ...context }) => ({ ...of(context), code, reason }));
    on("publication", (context) => ({ ...of(context), ...publication(context) }));
    for (const event of ["join", "leave"]) on(event, (context) => ({ ...of(context), ...info(context.info) }));
  }

  const commands = {
    connect({ name, url, token, tokens }) {
      const client = new Centrifuge(endpoint(url), {
        ...DELAYS,
        ...options(url),
        token,
        getToken: getter(tokens, "token wanted", { name }),
      });
      client.on("connecting", ({ code, reason }) => report({ event: "connecting", name, code, reason }));
      client.on("connected", ({ client, transport }) => report({ event: "connected", name, client, transport }));
      client.on("disconnected", ({ code, reason }) => report({ event: "disconnected", name, code, reason }));
      client.on("error", ({ type, error }) => report({ event: "error", name, type, code: error.code, message: error.message }));
      client.on("message", ({ data }) => report({ event: "message", name, data: decode(data) }));
      observe(client, "server ", name);
      clients.set(name, client);
      client.connect();
    },
    reconnect: ({ name }) => clients.get(name).connect(),
    disconnect: ({ name }) => clients.get(name).disconnect(),
    subscribe({ name, channel, token, tokens, state, recoverable, positioned, join_leave }) {
      const client = clients.get(name);
      const known = client.getSubscription(channel);
      if (known) return known.subscribe();
      const subscription = client.newSubscription(channel, {
        ...RESUBSCRIBE_DELAYS,
        token,
        getToken: getter(tokens, "subscription token wanted", { name, channel }),
        getState: state && (async () => (report({ event: "state wanted", name, channel }), state.shift())),
        recoverable,
        positioned,
        joinLeave: join_leave,
      });
      observe(subscription, "", name, channel);
      subscription.on("error", ({ error }) =>
        report({ event: "subscription error", name, channel, code: error.code, message: error.message }),
      );
      return subscription.subscribe();
    },
    unsubscribe: ({ name, channel }) => clients.get(name).getSubscription(channel).unsubscribe(),
    publish: async ({ name, channel, data }) => void (await clients.get(name).publish(channel, encode(data))),
    async history({ name, channel, limit, since, reverse }) {
      const found = await clients.get(name).history(channel, { limit, since, reverse });
      return { offset: found.offset, epoch: found.epoch, publications: found.publications.map(publication) };
    },
    async presence({ name, channel }) {
      return Object.values((await clients.get(name).presence(channel)).clients).map(info);
    },
    async presence_stats({ name, channel }) {
      const { numClients, numUsers } = await clients.get(name).presenceStats(channel);
      return { num_clients: numClients, num_users: numUsers };
    },
    async rpc({ name, method, data }) {
      return decode((await clients.get(name).rpc(method, encode(data))).data);
    },
    send: ({ name, data }) => clients.get(name).send(encode(data)),
  };

  return async ({ call, do: command, ...fields }) => {
    try {
      report({ call, result: (await commands[command]({ name: "", ...fields })) ?? null });
    } catch (error) {
      report({ call, error: { code: error.code ?? 0, message: error.message } });
    }
  };
}
