//! A listener with few connections at a time, none of which may say nothing for long: whoever connects and forgets it takes
//! no descriptor from the loop, nor the door from others.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// A Prometheus or two and the probes of a host need a handful.
const MOST: usize = 32;

/// Whoever scrapes asks at least once a minute over the same connection.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub(super) struct Few {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Few {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(MOST)) }
    }
}

impl Listener for Few {
    type Io = Held;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Held, SocketAddr) {
        // Whoever finds no room waits, without a descriptor of ours. It is never closed.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Held { stream, silence: Box::pin(sleep(LONGEST_SILENCE)), _room: room }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, and its place among the few.
#[derive(Debug)]
pub(super) struct Held {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.silence = Box::pin(sleep(LONGEST_SILENCE));
            return read;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_gives_its_place_to_the_next() {
        let mut few = Few::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = few.local_addr().unwrap();
        let (mut silent, mut held) = (Vec::new(), Vec::new());
        for _ in 0..MOST {
            silent.push(TcpStream::connect(address).await.unwrap());
            held.push(few.accept().await.0);
        }
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET").await.unwrap();
        let longer = LONGEST_SILENCE * 2;
        assert!(tokio::time::timeout(longer, few.accept()).await.is_err(), "there is no room");
        let first = &mut held[0];
        assert_eq!(first.read_u8().await.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(held.remove(0));
        let mut heard = [0; 3];
        few.accept().await.0.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"GET");
    }
}
