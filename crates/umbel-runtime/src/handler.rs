//! Instances, fresh or kept, and one HTTP request through one, whatever generation of WASI it is of.

use crate::body::Body;
use crate::component::Inner;
use crate::ctx::Ctx;
use crate::error::CallError;
use crate::guest::{self, Call};
use crate::image::Image;
use crate::warm::{Shelf, Warm};
use std::sync::Arc;
use wasmtime::Store;

/// An instance as those see it who call its exports.
pub(crate) trait Exports: Send + Sync + Sized + 'static {
    /// Where a component keeps instances of this kind.
    fn shelf(inner: &Inner) -> &Shelf<Self>;

    /// Makes an instance; nothing if the component is not of this kind.
    fn instantiate(
        image: &Image,
        store: &mut Store<Ctx>,
    ) -> impl Future<Output = Option<wasmtime::Result<Self>>> + Send;
}

/// What the generations of WASI's HTTP handlers differ in.
pub(crate) trait Handler: Exports {
    /// Lets the guest answer, through the call's outbox, and returns when it needs no more driving.
    fn handle(
        &self,
        store: &mut Store<Ctx>,
        request: http::Request<Body>,
        call: &Arc<Call>,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// Runs the request.
pub(crate) async fn run<H: Handler>(
    inner: Arc<Inner>,
    request: http::Request<Body>,
    call: Arc<Call>,
) -> Result<(), CallError> {
    let mut warm = take::<H>(&inner, &call).await?;
    call.sending(warm.exports.handle(&mut warm.store, request, &call)).await?;
    if !inner.keeps() {
        // A body that the guest left open ends with its instance.
        drop(warm);
        call.send();
        return Ok(());
    }
    call.send();
    // One that kept the right to answer is not kept: its caller would wait for as long as it lives.
    if call.outbox.is_answered() {
        // A guest that forgot to finish its body holds it open; until it has ended, the call's deadline must go on.
        call.body_ended().await;
        H::shelf(&inner).put(warm, &inner.pool().kept);
    }
    Ok(())
}

/// A kept instance, or a new one.
pub(crate) async fn take<H: Exports>(inner: &Inner, call: &Arc<Call>) -> Result<Warm<H>, CallError> {
    if inner.keeps()
        && let Some(mut warm) = H::shelf(inner).take()
    {
        guest::resume(&mut warm.store, call);
        return Ok(warm);
    }
    fresh(inner, call).await
}

/// Keeps an instance after a call that ended well, where the component keeps any.
pub(crate) fn keep<H: Exports>(inner: &Inner, warm: Warm<H>) {
    if inner.keeps() {
        H::shelf(inner).put(warm, &inner.pool().kept);
    }
}

/// A new instance.
pub(crate) async fn fresh<H: Exports>(inner: &Inner, call: &Arc<Call>) -> Result<Warm<H>, CallError> {
    let mut made = make(inner, call).await;
    if let Some((_, Err(error))) = &made
        && guest::lacks_room(error)
        && inner.pool().kept.make_room()
    {
        made = make(inner, call).await;
    }
    match made {
        Some((store, Ok(exports))) if inner.keeps() => Ok(Warm::lasting(store, exports, &inner.pool().kept)),
        Some((store, Ok(exports))) => Ok(Warm::once(store, exports)),
        Some((store, Err(error))) => Err(guest::failed(&store, call, error)),
        None => Err(CallError::NoExport { component: inner.shared.id.clone(), wanted: "HTTP" }),
    }
}

async fn make<H: Exports>(inner: &Inner, call: &Arc<Call>) -> Option<(Store<Ctx>, wasmtime::Result<H>)> {
    let mut store = guest::store(inner.pool(), &inner.shared, call);
    let exports = H::instantiate(&inner.image, &mut store).await?;
    Some((store, exports))
}
