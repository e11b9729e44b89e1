//! From the thread that builds an object to the request that writes it, without a file between them.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that wait to be read. The builder hands over some 256 KiB at once.
const WAITING: usize = 8;

/// What is written to [`Output`] is read from [`Reader`], which ends well only after [`Output::end`].
pub(crate) fn pipe() -> (Output, Reader) {
    let (sender, receiver) = channel(WAITING);
    (Output { sender, bytes: 0 }, Reader { receiver, piece: Vec::new(), read: 0, ended: false })
}

/// The end that is written to, outside of async code.
pub(crate) struct Output {
    sender: Sender<Piece>,
    bytes: u64,
}

/// The end that is read.
pub(crate) struct Reader {
    receiver: Receiver<Piece>,
    piece: Vec<u8>,
    /// How much of `piece` was read.
    read: usize,
    ended: bool,
}

enum Piece {
    Bytes(Vec<u8>),
    /// Without it, a builder that failed would look like one that is done, and half an object be written as a whole one.
    End,
}

impl Output {
    /// That was all. Gives back how many bytes it was.
    pub(crate) fn end(self) -> io::Result<u64> {
        self.send(Piece::End)?;
        Ok(self.bytes)
    }

    /// Whether nobody reads it any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.sender.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Piece::Bytes(bytes.to_vec()))?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read == self.piece.len() && !self.ended {
            match ready!(self.receiver.poll_recv(context)) {
                Some(Piece::Bytes(piece)) => (self.piece, self.read) = (piece, 0),
                Some(Piece::End) => self.ended = true,
                None => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
        let left = &self.piece[self.read..];
        let taken = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..taken]);
        self.read += taken;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn all_bytes_pass_in_order_and_end() {
        let (mut output, mut reader) = pipe();
        let written = tokio::task::spawn_blocking(move || {
            for piece in 0..100_u8 {
                output.write_all(&vec![piece; usize::from(piece)])?;
            }
            output.end()
        });
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await.unwrap();
        let expected: Vec<u8> = (0..100_u8).flat_map(|piece| vec![piece; usize::from(piece)]).collect();
        assert_eq!(read, expected);
        assert_eq!(written.await.unwrap().unwrap(), expected.len() as u64);
    }

    #[tokio::test]
    async fn a_builder_that_gives_up_is_not_taken_for_one_that_is_done() {
        let (mut output, mut reader) = pipe();
        tokio::task::spawn_blocking(move || output.write_all(b"PAR1")).await.unwrap().unwrap();
        let mut read = Vec::new();
        assert_eq!(reader.read_to_end(&mut read).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn writing_ends_when_nobody_reads() {
        let (mut output, reader) = pipe();
        assert!(!output.is_abandoned());
        drop(reader);
        assert!(output.is_abandoned());
        let written = tokio::task::spawn_blocking(move || output.write(b"PAR1")).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
