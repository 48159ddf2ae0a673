use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};
use api::EarlierTokens;
use domain::SystemClock;
use store::Store;

pub async fn run(context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    if !settings.data.join(store::DATABASE_FILE).exists() {
        let what = format!("{} holds no mesh whose token could be reset", settings.data.display());
        return Err(Failure::new(Exit::NotFound, what).next("choose the data folder with --data FOLDER"));
    }
    let store = Store::open(store::Options::new(&settings.data)).await.map_err(|error| match error {
        store::Error::FolderInUse { .. } => Failure::failed(error.to_string())
            .next("stop the mesh first, or make another token there with devmesh token create NAME --scope admin"),
        error => Failure::failed(error.to_string()).next("devmesh doctor"),
    })?;
    let file = settings.admin_token_file();
    let reset = api::reset_admin_token(&store, &SystemClock, &file, EarlierTokens::KeptButTheFirst).await;
    store.close().await;
    let reset = reset.map_err(|error| Failure::failed(error.to_string()).next("devmesh doctor"))?;
    let document = serde_json::json!({"path": file, "tokens_dropped": reset.dropped, "tokens_kept": reset.kept});
    context.output.show(&document, || file.display().to_string())?;
    let earlier = if reset.dropped > 0 { "the one it replaces works no longer; " } else { "" };
    let others = match reset.kept {
        0 => "there are no others".to_owned(),
        1 => "1 other works as before".to_owned(),
        kept => format!("{kept} others work as before"),
    };
    context.output.say(format_args!("a new admin token is in {}; {earlier}{others}", file.display()));
    context.output.next("devmesh up");
    Ok(Exit::Done)
}
