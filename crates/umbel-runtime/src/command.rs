//! Commands: `wasi:cli/run`, once from beginning to end.

use crate::answer::Outbox;
use crate::component::Component;
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::guest::{self, Call, Guest};
use crate::image::Entry;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi::I32Exit;

impl Component {
    /// Runs the command to its end. A status of 0 is `Ok`. Dropping the future ends the guest. `call_time` does not apply: a
    /// command runs as long as it takes.
    pub async fn run(&self) -> Result<(), CallError> {
        let inner = self.inner.clone();
        if !inner.image.world().is_command() {
            return Err(CallError::NoExport { component: self.id().to_string(), wanted: "wasi:cli/run" });
        }
        let call = Call::new(&inner.engine, &inner.shared, 0, Outbox::closed(), None)?;
        let permit = call.admit().await?;
        let (done, ended) = oneshot::channel();
        let work = {
            let call = call.clone();
            let inner = inner.clone();
            async move {
                let mut store = guest::store(inner.pool(), &inner.shared, &call);
                let mut status = run(&mut store, &inner.image.entry).await;
                if let Err(error) = &status
                    && guest::lacks_room(error)
                    && inner.pool().kept.make_room()
                {
                    store = guest::store(inner.pool(), &inner.shared, &call);
                    status = run(&mut store, &inner.image.entry).await;
                }
                let result = verdict(&store, &call, status);
                drop((store, permit));
                let _ = done.send(result);
                Ok(())
            }
        };
        let guest = Guest::start(&inner.shared, &call, work).await;
        match ended.await {
            Ok(result) => result,
            Err(_) => Err(guest.outcome(&inner.shared).await),
        }
    }
}

async fn run(store: &mut Store<Ctx>, entry: &Entry) -> wasmtime::Result<Result<(), ()>> {
    match entry {
        Entry::CommandP2(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            command.wasi_cli_run().call_run(store).await
        }
        Entry::CommandP3(pre) => {
            let command = pre.instantiate_async(&mut *store).await?;
            store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await?
        }
        Entry::HttpP2(_) | Entry::HttpP3(_) | Entry::Contracts => Ok(Err(())),
    }
}

fn verdict(
    store: &Store<Ctx>,
    call: &Call,
    ended: wasmtime::Result<Result<(), ()>>,
) -> Result<(), CallError> {
    let component = store.data().shared().id.clone();
    let status = match ended {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => exit.0,
            None => return Err(guest::failed(store, call, error)),
        },
    };
    if status == 0 {
        return Ok(());
    }
    store.data().shared().budget.trapped();
    Err(CallError::Command { component, status })
}
