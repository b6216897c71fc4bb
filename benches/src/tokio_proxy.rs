//! What one writes first: tokio's own `copy_bidirectional`, with its default buffers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};

pub(crate) fn run(port: u16, upstream: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream));
        loop {
            let (mut client, _) = listener.accept().await?;
            tokio::spawn(async move {
                client.set_nodelay(true)?;
                let mut server = TcpStream::connect(upstream).await?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    })
}
