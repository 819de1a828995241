//! One connection, from the first message to the last.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stoq_ebpf::broker::{
    ChannelError, Granted, Hello, Message, Reason, Refused, Resume, WireError,
};
use stoq_ebpf::relay::Relay;
use tokio::sync::watch;
use tokio::time::timeout;

use super::callers::Call;
use super::channel::Channel;
use super::door::Caller;
use super::make::{make, reconnect};
use super::offers::{Offer, Offers};
use super::sessions::{Event, Sessions, Ticket, refused};
use super::{Broker, Door};

/// For each step of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why a connection ends.
enum End {
    /// The pod has said good-bye, or died.
    Closed,
    /// It is told why.
    Refused(Refused),
}

/// A place in the table, given back when dropped.
struct Place<'a> {
    broker: &'a Broker,
    ticket: Ticket,
    /// Whether the pod has been given what it asked for.
    granted: bool,
}

impl Place<'_> {
    fn granted(&mut self, event: Event) {
        self.granted = true;
        self.broker.sessions().count(event, None);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.broker.sessions().end(&self.ticket);
        if self.granted {
            self.broker.sessions().count(Event::Ended, None);
        }
        self.broker.0.news.notify_one();
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(broker: &Broker, door: &Door, socket: OwnedFd) {
    let served = async {
        let channel = Channel::new(socket)?;
        let user = channel.user()?;
        let end = match attend(broker, door, &channel, user).await {
            Ok(end) => end,
            Err(end) => {
                if let End::Refused(why) = &end {
                    broker.refused(user, why);
                }
                end
            }
        };
        if let End::Refused(why) = end {
            channel.refuse(why);
        }
        io::Result::Ok(())
    };
    if let Err(error) = served.await {
        tracing::warn!("serve a pod: {error}");
    }
}

/// How a session ended; the error is how none came to be.
async fn attend(broker: &Broker, door: &Door, channel: &Channel, user: u32) -> Result<End, End> {
    let call = call(broker, door, user)?;
    let first = match timeout(HANDSHAKE, channel.receive()).await {
        Ok(Ok(first)) => first,
        Ok(Err(error)) => return Err(bad(error)),
        Err(_) => return Err(unexpected("nothing was said in time")),
    };
    let caller = caller(door, user).await?;
    let (place, session) = match first {
        (Message::Hello(hello), _) => grant(broker, channel, &caller, &hello).await?,
        (Message::Resume(resume), fds) => resumed(broker, channel, &caller, &resume, fds).await?,
        _ => return Err(unexpected("a session begins with Hello or Resume")),
    };
    drop(call);
    let endpoint = place.ticket.endpoint;
    tracing::info!(%endpoint, %caller, session, "a pod has an AF_XDP socket");
    let end = keep(broker, channel, &place.ticket, session).await;
    if let End::Refused(why) = &end {
        tracing::info!(%endpoint, session, reason = ?why.reason, "{}", why.text);
    }
    tracing::info!(%endpoint, session, "its session is over");
    // Only here: when the agent is stopped, the next one is to know.
    broker.0.ledger.strike(endpoint);
    Ok(end)
}

/// Of each user so many; at a pod's own socket nobody else is kept out.
fn call(broker: &Broker, door: &Door, user: u32) -> Result<Option<Call>, End> {
    if matches!(door, Door::Device(_)) {
        return Ok(None);
    }
    let call = broker.0.callers.admit(user);
    call.map(Some).ok_or_else(|| {
        let text = format!("too many connections of user {user} have no session yet");
        End::Refused(refused(Reason::Busy, text))
    })
}

/// Looked up for each session: a device outlives the pod that holds it.
async fn caller(door: &Door, user: u32) -> Result<Caller, End> {
    let Door::Device(holder) = door else {
        return Ok(Caller::User(user));
    };
    let pod = holder.pod().await;
    pod.map(Caller::Pod)
        .map_err(|why| End::Refused(refused(Reason::Busy, why)))
}

async fn grant<'a>(
    broker: &'a Broker,
    channel: &Channel,
    caller: &Caller,
    hello: &Hello,
) -> Result<(Place<'a>, u64), End> {
    let admit =
        |all: &mut Sessions, offers: &Offers| all.admit(hello, caller, offers, &broker.0.limits);
    let (mut place, relay) = seat(broker, admit).await?;
    let ticket = place.ticket;
    let index = relay.far.index;
    let maps = broker.0.maps.clone();
    let made = blocking(move || make(&maps, &relay, &ticket)).await?;
    let granted = Granted {
        session: session_number(index),
        geometry: ticket.geometry,
        rings: ticket.rings,
    };
    let (umem, socket) = made;
    broker.0.ledger.note(ticket.endpoint, granted);
    let fds = [umem.memfd(), socket.as_fd()];
    let sent = channel.send(&Message::Granted(granted), &fds);
    sent.map_err(|_| End::Closed)?;
    place.granted(Event::Granted);
    Ok((place, granted.session))
}

async fn resumed<'a>(
    broker: &'a Broker,
    channel: &Channel,
    caller: &Caller,
    resume: &Resume,
    mut fds: Vec<OwnedFd>,
) -> Result<(Place<'a>, u64), End> {
    let (Some(socket), true) = (fds.pop(), fds.is_empty()) else {
        return Err(unexpected("Resume carries one descriptor, the socket"));
    };
    let mut news = broker.0.offers.subscribe();
    // A new agent has nothing on offer before its first pass.
    let known = news.wait_for(|offers| !offers.is_empty());
    let _ = timeout(HANDSHAKE, known).await;
    let resumed =
        |all: &mut Sessions, offers: &Offers| all.resume(resume, caller, offers, &broker.0.limits);
    let (mut place, relay) = seat(broker, resumed).await?;
    if !is_of(resume.granted.session, relay.far.index) {
        let text = "the relay that the session's socket is bound to has gone".to_owned();
        return Err(End::Refused(refused(Reason::NoEndpoint, text)));
    }
    let maps = broker.0.maps.clone();
    blocking(move || reconnect(&maps, &relay, socket)).await?;
    let sent = channel.send(&Message::Granted(resume.granted), &[]);
    sent.map_err(|_| End::Closed)?;
    place.granted(Event::Resumed);
    Ok((place, resume.granted.session))
}

/// A place in the table, if `take` finds one, and its relay.
async fn seat(
    broker: &Broker,
    take: impl FnOnce(&mut Sessions, &Offers) -> Result<Ticket, Refused>,
) -> Result<(Place<'_>, Relay), End> {
    let ticket = {
        let offers = broker.0.offers.borrow();
        take(&mut broker.sessions(), &offers)
    };
    let ticket = ticket.map_err(End::Refused)?;
    let place = Place {
        broker,
        ticket,
        granted: false,
    };
    let relay = relay(broker, &ticket).await?;
    Ok((place, relay))
}

/// Waits for the loop to have made the relay: in a pass that knew of this session. What an earlier
/// one tells may be of a session that was before, whose relay goes.
async fn relay(broker: &Broker, ticket: &Ticket) -> Result<Relay, End> {
    let mut answered = broker.0.answered.subscribe();
    let mut offers = broker.0.offers.subscribe();
    let there = |offers: &Offers| own(offers, ticket).is_none_or(|offer| offer.relay.is_some());
    broker.0.news.notify_one();
    let found = timeout(HANDSHAKE, async {
        answered
            .wait_for(|asked| *asked > ticket.asked)
            .await
            .ok()?;
        Some(offers.wait_for(there).await.ok()?.clone())
    });
    let Ok(Some(offers)) = found.await else {
        let text = "no relay was made in time".to_owned();
        return Err(End::Refused(refused(Reason::NotSupported, text)));
    };
    match own(&offers, ticket).and_then(|offer| offer.relay.clone()) {
        Some(Ok(relay)) => Ok(relay),
        Some(Err(words)) => Err(End::Refused(refused(Reason::NotSupported, words))),
        None => Err(gone()),
    }
}

/// Goes on until either side ends it.
async fn keep(broker: &Broker, channel: &Channel, ticket: &Ticket, session: u64) -> End {
    let mut offers = broker.0.offers.subscribe();
    let mut told = false;
    loop {
        match now(&mut offers, ticket, session) {
            None => return gone(),
            Some(steered) if steered != told => {
                told = steered;
                if channel.send(&Message::Steered(steered), &[]).is_err() {
                    return End::Closed;
                }
            }
            Some(_) => {}
        }
        tokio::select! {
            message = channel.receive() => match message {
                Ok((Message::Ready, _)) => if broker.sessions().ready(ticket) {
                    broker.0.news.notify_one();
                },
                Ok(_) => return unexpected("Ready is all that is expected now"),
                Err(error) => return bad(error),
            },
            changed = offers.changed() => if changed.is_err() {
                return End::Closed;
            },
        }
    }
}

/// Whether its packets are sent to it; `None` once it has nothing to receive them by any more.
fn now(offers: &mut watch::Receiver<Offers>, ticket: &Ticket, session: u64) -> Option<bool> {
    let offers = offers.borrow_and_update();
    let offer = own(&offers, ticket)?;
    let relay = offer.relay.as_ref()?.as_ref().ok()?;
    let wanted = !matches!(offer.closed, Some((Reason::Disabled, _)));
    (wanted && is_of(session, relay.far.index)).then_some(offer.steered)
}

/// The offer, if the endpoint is still the same pod's.
fn own<'a>(offers: &'a Offers, ticket: &Ticket) -> Option<&'a Offer> {
    let offer = offers.get(&ticket.endpoint)?;
    (offer.owner == ticket.owner).then_some(offer)
}

/// A session's number names the device that its socket is bound to, and tells it from others there.
fn session_number(index: u32) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let low = now.map_or(0, |now| now.as_micros() as u32);
    u64::from(index) << 32 | u64::from(low)
}

const fn is_of(session: u64, index: u32) -> bool {
    session >> 32 == index as u64
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, End> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(End::Refused),
        Err(error) => Err(unexpected(&error.to_string())),
    }
}

fn gone() -> End {
    let text = "the transport, its pod or its relay has gone".to_owned();
    End::Refused(refused(Reason::NoEndpoint, text))
}

fn unexpected(text: &str) -> End {
    End::Refused(refused(Reason::Malformed, text.to_owned()))
}

fn bad(error: ChannelError) -> End {
    match error {
        ChannelError::Closed | ChannelError::Socket(_) => End::Closed,
        ChannelError::Wire(WireError::Version(_)) => {
            End::Refused(refused(Reason::Version, error.to_string()))
        }
        ChannelError::Wire(_) => End::Refused(refused(Reason::Malformed, error.to_string())),
    }
}
